"""Report: the data quality of a release on one page, its model on another, and the index of all releases.

In: the kept validation results of a release, its rejects, its validation if there is one. Out: `report.html` and, once
the model is validated, `model.html` in the release's folder, `validation/<table>.html` for each validated table, and
`index.html` beside the release folders. Guarantees pages that need nothing but themselves: no script, no font, no
picture from anywhere; all text escaped; no link to a page that is not there.

`write_index` is also called for days that were stopped before they had a release (`jobs.reports.stop_report`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.reports import data_plots, data_sections, model_report
from jobs.reports.rendering import render
from jobs.runtime import notes
from jobs.runtime.artifacts import ReleaseFolder, StopFolder, release_folders, stop_folders
from jobs.runtime.documents import read_document
from jobs.runtime.errors import BrokenInput, CheckCrashed, GateRefused
from jobs.runtime.files import write_text
from jobs.validation.facts import from_json
from schemas.manifest import partition_of

_TEMPLATES = Path(data_sections.__file__).with_name("templates")


@dataclass(frozen=True)
class ReportResult:
    """Where the pages lie, and the status of the release's data: passed, failed, crashed, changed or missing.

    `model` is None while there is no page of the model.
    """

    release: str
    status: str
    report: str
    index: str
    model: str | None


def run_all(folder: ReleaseFolder) -> ReportResult:
    """Write all pages of a release, that of its model too once it is validated, whatever the verdict.

    Raises what `run` raises.
    """
    if folder.decision.exists():
        model_report.run(folder)
    return run(folder)


@contextmanager
def written(folder: ReleaseFolder) -> Iterator[None]:
    """Write the data pages after a validation in the block, also when it refuses the data or crashes."""
    try:
        yield
    except (GateRefused, CheckCrashed):
        run(folder)
        raise
    run(folder)


def run(folder: ReleaseFolder) -> ReportResult:
    """Write the data pages of a release and the index of all.

    Raises BrokenInput when the release has no folder, or when a kept result cannot be read.
    """
    if not folder.root.is_dir():
        raise BrokenInput(
            f"there is no release {folder.release}", str(folder.root), "run `nightshelf extract`"
        )
    parts = data_sections.sections(folder)
    context = {
        **_marks(),
        **data_sections.head(folder, parts),
        **_comparison(parts),
        "sections": parts,
        "rejected": data_sections.rejected(folder.rejects),
    }
    write_text(folder.data_page, render(_TEMPLATES, "report.html", context))
    for part in parts:
        if part.result is not None:
            alone = folder.validation(part.table).with_suffix(".html")
            write_text(alone, render(_TEMPLATES, "table.html", {**context, "section": part}))
    index = write_index(folder.root.parent)
    model = str(folder.model_page) if context["model_has_page"] else None
    return ReportResult(
        folder.release, context["overall"], str(folder.data_page), str(index), model
    )


def _comparison(parts: tuple[data_sections.Section, ...]) -> dict[str, Any]:
    found = next(part.result for part in parts if part.table == "interactions")
    if found is None or "release" not in found.facts:
        return {"numbers": [], "since": [], "newest": [], "plots": []}
    facts, bounds = found.facts, found.bounds
    own = from_json(facts["release"])
    reference = from_json(facts["reference"]) if facts["reference"] else None
    accepted = (bounds["positive_min_share"], bounds["positive_max_share"])
    return {
        "numbers": data_sections.numbers(facts["release"], facts["reference"]),
        "since": data_sections.numbers(facts["since_reference"], None)
        if facts["since_reference"]
        else [],
        "newest": [
            data_sections.moment(one.data_as_of) for one in (own, reference) if one is not None
        ],
        "plots": data_plots.of(own, reference, facts["positive_from"], accepted),
    }


def write_index(releases: Path) -> Path:
    """Write the page of all releases and stopped days, the newest day first, and return its path."""
    newest_first = reversed(release_folders(releases))
    runs, stops = [], []
    for one in newest_first:
        with notes.instead(f"release {one.release} is left out of the index"):
            if one.data_page.is_file():
                runs.append(_line(one))
    for stopped in reversed(stop_folders(releases)):
        with notes.instead(f"stop {stopped.stop} is left out of the index"):
            if stopped.data_page.is_file():
                stops.append(_stop_line(stopped))
    target = releases / "index.html"
    write_text(target, render(_TEMPLATES, "index.html", {**_marks(), "runs": runs, "stops": stops}))
    return target


def _stop_line(folder: StopFolder) -> dict[str, Any]:
    text = read_document(folder.problem, "extract", what=str, where=str, do=str)
    return {"stop": folder.stop, "partition": partition_of(folder.stop), "problem": text}


def _line(folder: ReleaseFolder) -> dict[str, Any]:
    parts = data_sections.sections(folder, check_files=False)
    comparison = _numbers_only(parts)
    return {**data_sections.head(folder, parts), "sections": parts, "numbers": comparison}


def _numbers_only(parts: tuple[data_sections.Section, ...]) -> dict[str, tuple[str, str]]:
    found = next(part.result for part in parts if part.table == "interactions")
    if found is None or "release" not in found.facts:
        return {}
    rows = data_sections.numbers(found.facts["release"], found.facts["reference"])
    return {name: (now, changed) for name, now, _, changed in rows}


def _marks() -> dict[str, Any]:
    return {
        "table_marks": data_sections.TABLE_MARKS,
        "expectation_marks": data_sections.EXPECTATION_MARKS,
        "stop_mark": data_sections.STOP_MARK,
    }
