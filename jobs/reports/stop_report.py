"""Report of a stop: why a day has no release, for people.

In: the day's drops and what `extract` refused them for. Out: `problem.json` and `report.html` in a folder of
`releases/stopped`, and the index of all runs. Guarantees a page like those of `data_report`, and that the same
failure of the same day has one page however often it is tried.
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs.ingest import days
from jobs.ingest.rejects import TooManyRejects
from jobs.reports import data_report, data_sections
from jobs.reports.rendering import render
from jobs.runtime import notes
from jobs.runtime.artifacts import DropsFolder, stop_folder
from jobs.runtime.errors import BrokenInput
from jobs.runtime.files import write_json, write_text
from jobs.validation.texts import number

_TEMPLATES = Path(data_sections.__file__).with_name("templates")
_DIGITS = 8


@dataclass(frozen=True)
class StopReportResult:
    """The id of the stop, and where its page and the index lie."""

    stop: str
    report: str
    index: str


def run(
    releases: Path, source: DropsFolder, partition: str, problem: BrokenInput
) -> StopReportResult:
    """Write the page of a day that `problem` stopped before it had a release, and the index of all runs."""
    text = {"what": problem.what, "where": problem.where, "do": problem.do}
    digest = hashlib.sha256("\n".join(text.values()).encode()).hexdigest()
    folder = stop_folder(releases, f"{partition}-{digest[:_DIGITS]}")
    rejected = (
        data_sections.rejected(Path(problem.where), problem.files)
        if isinstance(problem, TooManyRejects)
        else []
    )
    context = {
        "partition": partition,
        "problem": text,
        "stop_mark": data_sections.STOP_MARK,
        "rejected": rejected,
        "required": days.REQUIRED,
        "files": [_file(one) for one in days.seen(source, partition)],
    }
    write_json(folder.problem, text)
    write_text(folder.data_page, render(_TEMPLATES, "stop.html", context))
    index = data_report.write_index(releases)
    return StopReportResult(folder.stop, str(folder.data_page), str(index))


def attach(releases: Path, source: DropsFolder, partition: str, problem: BrokenInput) -> None:
    """Write the page of a stop and name it in the problem; a page that cannot be written is a note, not the problem."""
    with notes.instead("the page of this stop was not written"):
        problem.report = run(releases, source, partition, problem).report


def _file(seen: days.Seen) -> dict[str, Any]:
    rows = "–" if seen.rows is None else number(seen.rows)
    return {**asdict(seen), "lacks": seen.lacks, "rows_text": rows}
