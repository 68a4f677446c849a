"""Report of a stop: why a day has no release, for people.

In: the day's drops and what `extract` refused them for. Out: `problem.json` and `report.html` in a folder of
`releases/stopped`, and the index of all runs. Guarantees a page like those of `jobs.report`, and that the same
failure of the same day has one page however often it is tried.
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs import report
from jobs.page.rendering import render
from jobs.quality import page
from jobs.quality.words import number
from jobs.release.folder import DropsFolder, stop_folder
from jobs.runtime.errors import BrokenInput
from jobs.runtime.files import write_json, write_text
from jobs.source import days
from jobs.source.rejects import TooManyRejects

_TEMPLATES = Path(page.__file__).with_name("templates")
_DIGITS = 8


@dataclass(frozen=True)
class Outcome:
    """The id of the stop, and where its page and the index lie."""

    stop: str
    report: str
    index: str


def run(releases: Path, source: DropsFolder, partition: str, problem: BrokenInput) -> Outcome:
    """Write the page of a day that `problem` stopped before it had a release, and the index of all runs."""
    told = {"what": problem.what, "where": problem.where, "do": problem.do}
    digest = hashlib.sha256("\n".join(told.values()).encode()).hexdigest()
    folder = stop_folder(releases, f"{partition}-{digest[:_DIGITS]}")
    rejected = (
        page.rejected(Path(problem.where), problem.files)
        if isinstance(problem, TooManyRejects)
        else []
    )
    context = {
        "partition": partition,
        "problem": told,
        "stop_mark": page.STOP_MARK,
        "rejected": rejected,
        "required": days.REQUIRED,
        "files": [_file(one) for one in days.seen(source, partition)],
    }
    write_json(folder.problem, told)
    write_text(folder.data_page, render(_TEMPLATES, "stop.html", context))
    index = report.write_index(releases)
    return Outcome(folder.stop, str(folder.data_page), str(index))


def _file(seen: days.Seen) -> dict[str, Any]:
    rows = "–" if seen.rows is None else number(seen.rows)
    return {**asdict(seen), "lacks": seen.lacks, "rows_text": rows}
