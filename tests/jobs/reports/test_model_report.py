"""The model's page: what it says, that it needs nothing but itself, and that people can read it."""

import json
import re
from pathlib import Path

import pytest

from jobs.evaluation import settings as evaluation_settings
from jobs.pipeline import evaluate, recommend, train
from jobs.reports import data_report, model_report, model_tables
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.errors import BrokenInput, GateRefused
from tests.harness import html_page
from tests.harness.command_line import run
from tests.jobs.evaluation import groups

HOSTILE = '</td><script>alert("1")</script><img src=x onerror=alert(2)> & "quoted"'


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReleaseFolder, ReleaseFolder]:
    """Two days of grouped readers, the titles hostile, with their pages."""
    root = tmp_path_factory.mktemp("artifacts")
    found: list[ReleaseFolder] = []
    for partition, rows in (("2026-02-01", groups.ROWS - 160), ("2026-02-02", groups.ROWS)):
        folder = groups.write_day(root, partition, rows, title=HOSTILE)
        train.run(folder, "a test")
        reference = found[-1].release if found else None
        judgement = evaluation_settings.load()
        evaluate.run(folder, Artifacts(root), judgement, reference=reference, run_by="a test")
        recommend.run(folder, "a test")
        model_report.run(folder)
        found.append(folder)
    return found[0], found[1]


def _html(folder: ReleaseFolder) -> str:
    return (folder.root / "model.html").read_text("utf-8")


def _text(folder: ReleaseFolder) -> str:
    return re.sub(r"\s+", " ", "".join(html_page.read(_html(folder)).text))


def test_the_page_asks_for_nothing(releases: tuple[ReleaseFolder, ReleaseFolder]) -> None:
    """Nothing is fetched, no script runs, and text from the data is shown as text."""
    for folder in releases:
        page = html_page.read(_html(folder))
        assert page.outside == []
        assert page.all("script") == []
        assert page.all("img") == []
        assert not re.search(r"https?:", _html(folder))
        assert '</td><script>alert("1")</script>' in _text(folder)


def test_the_page_is_built_for_everybody(releases: tuple[ReleaseFolder, ReleaseFolder]) -> None:
    """Ids are unique, headings and landmarks in order, tables captioned and scoped, pictures labelled."""
    for folder in releases:
        assert html_page.structure_problems(html_page.read(_html(folder))) == []


def test_the_verdict_and_its_numbers_stand_on_the_page(
    releases: tuple[ReleaseFolder, ReleaseFolder],
) -> None:
    """Verdict, metrics, slices, comparison, twenty readers and the most shown books are there."""
    text = _text(releases[1])
    assert "Go: may go live by itself" in text
    assert "finds exactly what the reference finds" in text
    assert "Engine als, trained on" in text
    for metric in model_tables.METRICS.values():
        assert f"{metric[0]} over the releases" in text
    assert "Rows that arrived since the reference 160" in text
    assert "Users in both releases 240" in text
    assert "20 users' shelves and their new lists" in text
    assert len(re.findall(r"User \d+, \d+ ratings", text)) == 20
    assert "The books that are shown most" in text


def test_bands_stand_in_their_order(releases: tuple[ReleaseFolder, ReleaseFolder]) -> None:
    """Lengths of history ascend, books go from the most read to those nobody had rated."""
    text = _text(releases[1])
    assert re.search(r" 0 .* 1-4 .* 5-19 .* 20-99 .* 100\+ .* head .* middle .* tail .* new ", text)


def test_the_first_release_stands_alone(releases: tuple[ReleaseFolder, ReleaseFolder]) -> None:
    """Without a reference there is nothing to compare with, and that is said."""
    text = _text(releases[0])
    assert "There is no reference release to compare with" in text
    assert "compared with no other release" in text


def test_the_same_release_gives_the_same_page(
    releases: tuple[ReleaseFolder, ReleaseFolder],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Written again by the command, the page has the same bytes."""
    before = _html(releases[1])
    root = releases[1].root.parent.parent
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(root))
    found = run(capsys, "model-report", "--release", releases[1].release)
    assert (found.exit_code, found.outcome["verdict"]) == (0, "go")
    assert Path(found.outcome["page"]).read_text("utf-8") == before


def test_a_release_that_was_not_judged_has_no_page(tmp_path: Path) -> None:
    """The message names the step that is missing."""
    folder = groups.write_day(tmp_path, "2026-02-01")
    with pytest.raises(BrokenInput, match=r"decision\.json is missing"):
        model_report.run(folder)


def test_a_stopped_model_has_its_page(tmp_path: Path) -> None:
    """A release that must not go live, and has no lists yet, gets its page from the same command as its data."""
    folder = groups.write_day(tmp_path, "2026-02-01")
    train.run(folder, "a test")
    # A release whose ratings failed their checks is stopped, whatever its model is worth.
    kept = json.loads(folder.validation("interactions").read_text("utf-8"))
    folder.validation("interactions").write_text(json.dumps({**kept, "status": "failed"}), "utf-8")
    judgement = evaluation_settings.load()
    with pytest.raises(GateRefused, match=r"the checks of interactions failed"):
        evaluate.run(folder, Artifacts(tmp_path), judgement, reference=None, run_by="a test")
    pages = data_report.run_all(folder)
    assert pages.model == str(folder.model_page)
    assert "Stop: must not go live" in _text(folder)
    assert "The lists of this release have not been written" in _text(folder)
    assert html_page.structure_problems(html_page.read(_html(folder))) == []
    data = html_page.read(folder.data_page.read_text("utf-8"))
    assert "model.html" in data.links
    index = html_page.read((folder.root.parent / "index.html").read_text("utf-8"))
    assert f"{folder.release}/model.html" in index.links
    assert html_page.structure_problems(index) == []
