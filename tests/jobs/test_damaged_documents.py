"""Our own files cut, emptied, of another shape, or a folder in their place: what, where and what to do."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.reports import data_report
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from schemas.environment import node_list
from tests.harness import store
from tests.harness.command_line import run
from tests.harness.landing import HEADER, LAST_DAY, ROWS, folder, replay
from tests.harness.releases import write_release

Damage = Callable[[Path], object]


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Damage] = {
    "cut": _cut,
    "empty": lambda path: path.write_bytes(b""),
    "a list": lambda path: path.write_text("[1]"),
    "a number": lambda path: path.write_text("1"),
    "other names": lambda path: path.write_text('{"counts": {"a": 1}, "verdict": 3}'),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a folder": _folder,
}
#: Which commands read a file of a release that is not published yet.
READ_BY = {
    "inputs.json": ("train", "recommend", "evaluate --reference none", "backtest", "publish"),
    "decision.json": ("publish", "model-report", "report"),
    "evaluation.json": ("publish", "model-report"),
    "records/extract.json": ("publish",),
    "records/train.json": ("train", "publish"),
    "records/recommend.json": ("recommend",),
    "validation/books.json": ("publish",),
    "interactions.parquet": ("recommend", "backtest"),
    "lists.parquet": ("publish",),
}
by_damage = pytest.mark.parametrize("damage", DAMAGES)


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Artifacts:
    """The artifacts and the cluster of this test, in the environment that commands read."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(settings.artifacts))
    monkeypatch.setenv("NIGHTSHELF_REDIS", node_list(settings.redis))
    return Artifacts(settings.artifacts)


def _refused(capsys: pytest.CaptureFixture[str], path: Path, *command: object) -> None:
    """Run a command: it names the file or its folder, and the way out, once and without a traceback."""
    ended = run(capsys, *command)
    assert ended.exit_code in {1, 3, 4}, (command, ended)
    assert ended.text.count("error:") == 1, (command, ended.text)
    assert ended.outcome["do"]
    if ended.exit_code != 3:  # a gate names what it lacks
        assert path.name in f"{ended.outcome['error']} {ended.outcome['where']}", (command, ended)


@by_damage
@pytest.mark.parametrize("name", READ_BY)
def test_a_damaged_file_of_an_unfinished_release(
    name: str,
    damage: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each command that reads it ends with what, where and what to do."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    release = write_release(tmp_path, "2026-01-01")
    path = release.root / name
    if name == "interactions.parquet":
        (release.records / "recommend.json").unlink()  # else nothing is read
    DAMAGES[damage](path)
    for command in READ_BY[name]:
        _refused(capsys, path, *command.split(), "--release", release.release)


@by_damage
@pytest.mark.parametrize("name", ["manifest.json", "decision.json"])
def test_a_damaged_file_of_a_live_release(
    name: str,
    damage: str,
    environment: Artifacts,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Publish, activate, restore and why name it; what is served stays as it is."""
    live = environment.release(store.go_live(environment, settings, "2026-01-01"))
    before = store.fields(settings)
    path = live.root / name
    DAMAGES[damage](path)
    commands = [f"publish --release {live.release}"]
    commands += (
        ["restore", "why --user 1"]
        if name == "manifest.json"
        else [f"activate --release {live.release}"]
    )
    for command in commands:
        _refused(capsys, path, *command.split())
    assert store.fields(settings) == before


@by_damage
def test_a_damaged_entry_of_the_journal(
    damage: str, environment: Artifacts, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """No command takes it for a shorter journal."""
    live = store.go_live(environment, settings, "2026-01-01")
    path = min(environment.journal.glob("0*.json"))
    DAMAGES[damage](path)
    for command in (
        "releases",
        "restore",
        f"activate --release {live}",
        "rollback --by me --reason x",
    ):
        _refused(capsys, path, *command.split())


@by_damage
def test_a_damaged_source_json(
    damage: str, environment: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    """Extract names it and the way out, which works."""
    source = folder(environment.root, HEADER + ROWS)
    assert replay(capsys, source).exit_code == 0
    DAMAGES[damage](environment.drops.source)
    if damage not in {"a folder", "other names"}:
        _refused(capsys, environment.drops.source, "extract", "--partition", LAST_DAY)
    assert replay(capsys, source).exit_code == 2  # other drops stand there
    assert replay(capsys, source, "--replace").exit_code == 0
    assert run(capsys, "extract", "--partition", LAST_DAY).exit_code == 0


def test_a_begun_release_without_one_of_its_tables(
    environment: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    """Extract does not call it reused: it says which table is gone; without the folder it begins anew."""
    replay(capsys, folder(environment.root, HEADER + ROWS))
    begun = environment.release(run(capsys, "extract", "--partition", LAST_DAY).outcome["release"])
    begun.books.unlink()
    ended = run(capsys, "extract", "--partition", LAST_DAY)
    assert (ended.exit_code, ended.outcome["where"]) == (4, str(begun.root))
    assert "books.parquet" in ended.outcome["error"]
    shutil.rmtree(begun.root)
    assert run(capsys, "extract", "--partition", LAST_DAY).outcome["release"] == begun.release


@by_damage
def test_a_damaged_release_stops_no_page_of_another(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report of the next day is written; a note names what was left out of the index."""
    old, new = (write_release(tmp_path, day) for day in ("2026-01-01", "2026-01-02"))
    old.data_page.write_text("a page")
    DAMAGES[damage](old.decision)
    data_report.run(new)
    assert f"release {old.release} is left out of the index" in capsys.readouterr().err
