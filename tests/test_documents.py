"""The documents' tables name what the code has: settings, reasons, exit codes, metrics; links lead somewhere."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from jobs.ingest import rejects
from jobs.ingest.settings import RowSettings
from jobs.reports import data_sections
from jobs.runtime import errors
from jobs.runtime.settings import Settings
from jobs.validation.bounds import Bounds
from schemas import sources
from serving.settings import Settings as EdgeSettings
from tests.harness import metrics_page

ROOT = Path(__file__).parent.parent
_PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")


def _cells(page: str) -> list[list[str]]:
    """Return the cells of every table row of a page."""
    lines = (ROOT / page).read_text("utf-8").splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if line.startswith("|")
    ]


def _named(page: str, pattern: str) -> set[str]:
    """Return the names in the first cells of a page's tables."""
    return {name for cells in _cells(page) for name in re.findall(pattern, cells[0])}


def _variables(*classes: type) -> set[str]:
    return {f"NIGHTSHELF_{field.name.upper()}" for one in classes for field in fields(one)}


def _reject_reasons() -> set[str]:
    source = Path(rejects.__file__).read_text("utf-8")
    return set(re.findall(r'^[A-Z_]+ = "([a-z_]+)"$', source, re.MULTILINE))


@pytest.mark.parametrize(
    ("page", "classes"),
    [
        ("jobs/README.md", (Settings, RowSettings, Bounds)),
        ("serving/README.md", (EdgeSettings,)),
    ],
)
def test_every_setting_has_its_row(page: str, classes: tuple[type, ...]) -> None:
    """Neither a setting without a row nor a row without a setting; what a replica sets for itself has none."""
    expected = _variables(*classes) - {"NIGHTSHELF_EDGE_WORKERS_FOLDER"}
    found = _named(page, r"`(NIGHTSHELF_[A-Z_]+)`")
    assert expected <= found
    others = {"NIGHTSHELF_TRACES", *_variables(Settings, RowSettings, Bounds, EdgeSettings)}
    assert found <= others


def test_every_setting_of_the_dags_has_its_row() -> None:
    """What the DAGs read of the environment stands in their page's tables."""
    read = {
        name
        for path in (ROOT / "dags").rglob("*.py")
        for name in re.findall(
            r"environ(?:\.get\(|\[)\"(NIGHTSHELF_[A-Z_]+)", path.read_text("utf-8")
        )
    }
    assert read
    assert read <= _named("dags/README.md", r"`(NIGHTSHELF_[A-Z_]+)`")


def test_every_reject_reason_has_its_row() -> None:
    """Bad rows, repeats, and what was left out."""
    reasons = _reject_reasons()
    assert len(reasons) == 10
    assert reasons <= _named("jobs/README.md", r"`([a-z_]+)`")


def test_every_reason_and_source_has_its_row() -> None:
    """Of answers, in the edge's page; the page in the browser explains each reason."""
    found = _named("serving/README.md", r"`([a-z_]+)`")
    assert {*sources.REASONS} <= found
    shown = set(
        re.findall(r"^  (\w+): '", (ROOT / "deploy/page/shelf.js").read_text("utf-8"), re.MULTILINE)
    )
    assert {*sources.REASONS} <= shown


def test_every_exit_code_has_its_row() -> None:
    """The codes of all errors, and 0."""
    codes = {
        one.exit_code
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.NightshelfError)
    }
    found = {int(cells[0]) for cells in _cells("jobs/README.md") if cells[0].isdigit()}
    assert found == {0, *codes}


def test_every_metric_has_its_row() -> None:
    """The page of metrics is what the programs say of themselves."""
    assert metrics_page.PAGE.read_text("utf-8") == metrics_page.text()


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file names one that is there, and a heading of it."""
    for name, anchor in _LINK.findall(page.read_text("utf-8")):
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), (name, anchor)
        if anchor and target.suffix == ".md":
            assert anchor in _anchors(target), (name, anchor)


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


def test_every_reject_reason_has_its_words_on_the_page() -> None:
    """The data report explains each reason instead of showing its code."""
    assert _reject_reasons() == set(data_sections.REASON_TEXTS)
