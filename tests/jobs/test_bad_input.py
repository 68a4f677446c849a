"""Bad input while a release is live: the exit code, one message, and the live release served as before.

What each message says in full is proven beside each step; here is what all of them have in common. Every test ends
with the fixture's own check: nothing that an edge replica reads has changed.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from jobs.store import loading
from schemas import keys
from schemas.environment import node_list
from tests.harness import small_disk, store
from tests.harness.command_line import Result, run
from tests.harness.landing import BOOKS, DAYS, HEADER, NIGHTSHELF, ROWS, drop, folder
from tests.harness.releases import write_release

pytestmark = pytest.mark.usefixtures("live")
GOOD = (HEADER + ROWS).encode()


@pytest.fixture
def live(
    artifacts: Artifacts,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[str]:
    """A release that is live before and after, and the environment that the commands read."""
    nodes = node_list(settings.redis)
    monkeypatch.setenv("NIGHTSHELF_REDIS", nodes)
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(settings.artifacts))
    release = store.go_live(artifacts, settings, "2025-12-01")
    before = _served(settings, release)
    yield release
    assert _served(settings, release) == before
    assert run(capsys, "releases").outcome["live"] == release


def _served(settings: Settings, live: str) -> list[bytes | None]:
    """Return what an edge replica reads: the fields of the pointer, then the lists of some users."""
    registry = store.fields(settings)
    lists = store.fields(settings, f"shelf:{live}:users:0")
    assert lists
    return [*(registry.get(name.encode()) for name in keys.POINTER_FIELDS), *lists.values()]


def _told_once(result: Result, exit_code: int, message: str) -> None:
    assert result.exit_code == exit_code, result.text
    assert message in f"{result.outcome['error']} {result.outcome['where']}"
    assert result.outcome["do"]
    assert result.text.count("error:") == 1
    assert "Traceback" not in result.text


class Source(NamedTuple):
    """A ratings file, None for none, and what is said of it."""

    name: str
    content: bytes | None
    message: str


@pytest.mark.parametrize(
    "broken",
    [
        Source("ratings.csv", None, "ratings.csv is missing"),
        Source("ratings.csv", b"user_id,book,rating\n1,2,3\n", "no column book_id"),
        Source("ratings.csv", GOOD[:-3], "cut off"),
        Source("ratings.csv.gz", gzip.compress(GOOD)[:-5], "ratings.csv.gz"),
        Source("ratings.csv", HEADER.encode(), "header and no ratings"),
        Source("ratings.csv", GOOD + b"1,2,\xff\n", "not UTF-8"),
    ],
    ids=["no file", "no column", "cut csv", "cut gzip", "header only", "bytes"],
)
def test_a_broken_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: Source
) -> None:
    """Exit code 4 from replay, and no drops."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "books.csv").write_text(BOOKS, encoding="utf-8")
    if broken.content is not None:
        (source / broken.name).write_bytes(broken.content)
    _told_once(run(capsys, "replay", "--source", source, *DAYS), 4, broken.message)
    assert not (tmp_path / "drops").exists()


def test_a_source_as_windows_programs_write_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A byte-order mark and CRLF are no fault: every row lands."""
    source = folder(tmp_path, b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n"))
    assert run(capsys, "replay", "--source", source, *DAYS).outcome["rows"] == 40
    assert run(capsys, "extract", "--partition", "2026-01-04").outcome["rows_accepted"] == 40


def test_a_day_that_cannot_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole chain ends with its first step: 99 without a new drop, 4 before the first and for a broken one."""
    run(capsys, "replay", "--source", folder(tmp_path, GOOD), *DAYS)
    _told_once(run(capsys, "run", "--partition", "2026-01-05"), 99, "2026-01-04")
    _told_once(run(capsys, "run", "--partition", "2025-11-30"), 4, "2026-01-01")
    drop(tmp_path).write_bytes(drop(tmp_path).read_bytes()[:100])
    _told_once(run(capsys, "run", "--partition", "2026-01-04"), 4, "truncated parquet")


def test_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A release that does not fit ends with 1 and leaves nothing of itself."""
    rows = "".join(f"{n * 7919 % 99991},{1 + n % 5},{1 + n % 4}\n" for n in range(1, 60_000))
    run(capsys, "replay", "--source", folder(tmp_path, HEADER + rows), *DAYS)
    command = (*NIGHTSHELF, "extract", "--partition", "2026-01-04")
    result = small_disk.run(tmp_path / "releases", 150, *command)
    assert (result.exit_code, result.left) == (1, [])
    assert "the disk is full" in result.text
    assert (result.text.count("error:"), "Traceback" in result.text) == (1, False)


@pytest.mark.parametrize(
    ("option", "message"),
    [("min-replicas-to-write", "takes no writes"), ("maxmemory", "out of memory")],
)
def test_a_redis_that_cannot_be_written(
    settings: Settings, capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    """Publish ends with 1, the live lists are read meanwhile, and the same publish works afterwards."""
    release = write_release(settings.artifacts, "2025-12-02", variant=1).release
    store.configure(settings, option, 1)
    try:
        _told_once(run(capsys, "publish", "--release", release), 1, message)
        assert store.fields(settings, "shelf:catalog")
    finally:
        store.configure(settings, option, 0)
    assert run(capsys, "publish", "--release", release).exit_code == 0


def test_a_redis_that_cannot_be_reached(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Publish and activate end with 1."""
    release = write_release(settings.artifacts, "2025-12-02", variant=1).release
    with monkeypatch.context() as patch:
        patch.setenv("NIGHTSHELF_REDIS", "127.0.0.1:1")
        for command in ("publish", "activate"):
            _told_once(run(capsys, command, "--release", release), 1, "cannot be reached")


def test_an_activation_of_what_was_never_verified(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, forced or not."""
    release = write_release(settings.artifacts, "2025-12-02", variant=1).release
    for more in ((), ("--force",)):
        result = run(capsys, "activate", "--release", release, *more)
        _told_once(result, 3, "never verified")


def test_a_second_publisher(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While one loads, another ends with 1 and is told who; the first one's release is whole."""
    first = write_release(settings.artifacts, "2025-12-02", variant=1).release
    second = write_release(settings.artifacts, "2025-12-03", variant=2).release
    load, seen = loading.load, []

    def and_meanwhile(*args: object, **kwargs: object) -> None:
        seen.append(run(capsys, "publish", "--release", second))
        load(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    with monkeypatch.context() as patch:
        patch.setattr(loading, "load", and_meanwhile)
        assert run(capsys, "publish", "--release", first).exit_code == 0
    _told_once(seen[0], 1, f"is loading release {first}")
