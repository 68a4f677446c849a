"""What the data-quality page of a release shows.

In: the kept results of a release, its rejects, its verdict if there is one. Out: the context of the templates.
Guarantees that the page says what the results say: a table that was not validated, or whose files changed since, is
shown as such and never as good.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from jobs.ingest import rejects
from jobs.release import decision
from jobs.reports.data_plots import change
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.table_files import read_table
from jobs.validation import result
from jobs.validation.facts import from_json
from jobs.validation.result import Result, Table
from jobs.validation.texts import number, shortened
from schemas.manifest import partition_of
from schemas.tables import FILE, RAW, REASON, ROW

#: Sign and word of each status: of a table, and of an expectation.
TABLE_MARKS = {
    "passed": ("good", "Passed"),
    "failed": ("bad", "Failed"),
    "crashed": ("broken", "Crashed"),
    "changed": ("none", "Changed since"),
    "missing": ("none", "Not validated"),
}
#: Of a day that has no release.
STOP_MARK = ("bad", "Stopped")
EXPECTATION_MARKS = {
    "passed": ("good", "Met"),
    "failed": ("bad", "Not met"),
    "crashed": ("broken", "Crashed"),
}

_TITLES: dict[Table, str] = {
    "interactions": "Ratings",
    "books": "Books",
    "lists": "Finished lists",
}
_EXAMPLES = 5
REASON_TEXTS = {
    rejects.NULL_VALUE: "a cell is empty",
    rejects.NOT_AN_INTEGER: "a cell is not an integer",
    rejects.RATING_OUT_OF_RANGE: "the rating is not 1 to 5",
    rejects.ID_OUT_OF_RANGE: "a user or book id is out of range",
    rejects.UNKNOWN_BOOK: "the book is not in the catalogue",
    rejects.ARRIVED_AFTER_ITS_DAY: "the row claims to be later than the day it came on",
    rejects.USER_LEFT_OUT: "the user is left out by a setting",
    rejects.DELIVERED_BEFORE: "the same rating was delivered on an earlier day",
    rejects.DUPLICATE_ROW: "the same rating arrived again later",
    rejects.SUPERSEDED: "the user rated the book anew later",
}


@dataclass(frozen=True)
class Section:
    """One table on the page; `status` is a key of TABLE_MARKS."""

    table: Table
    title: str
    status: str
    result: Result | None

    @property
    def met(self) -> int:
        """How many expectations are met."""
        outcomes = self.result.outcomes if self.result else ()
        return sum(outcome.status == "passed" for outcome in outcomes)

    @property
    def stopped(self) -> bool:
        """Whether some expectations were left out, since what they need was not there."""
        return bool(self.result and self.result.facts.get("stopped_at"))


def sections(folder: ReleaseFolder, *, check_files: bool = True) -> tuple[Section, ...]:
    """Return a section a table; without `check_files` the files are not read to see whether they changed."""
    return tuple(_section(folder, table, check_files=check_files) for table in result.TABLES)


def overall(parts: tuple[Section, ...]) -> str:
    """Return the status of a release: the worst of its tables."""
    order = ("crashed", "failed", "changed", "missing", "passed")
    return min((part.status for part in parts), key=order.index)


def verdict(folder: ReleaseFolder) -> str | None:
    """Return the verdict of the evaluation (go, hold, stop), or None while there is none."""
    if not folder.decision.exists():
        return None
    return str(decision.read(folder)["verdict"])


def numbers(
    own: dict[str, Any], reference: dict[str, Any] | None
) -> list[tuple[str, str, str, str]]:
    """Return rows of (what, this release, reference, change) of the interactions' facts."""
    now = from_json(own)
    before = from_json(reference) if reference else None
    rows = []
    for name, attribute in (("Ratings", "rows"), ("Users", "users"), ("Rated books", "books")):
        value, old = getattr(now, attribute), getattr(before, attribute, None)
        text = ("", "") if old is None else (number(old), change(value, old))
        rows.append((name, number(value), *text))
    share, old_share = now.positive_share, before.positive_share if before else None
    rows.append(
        (
            "Positive ratings",
            number(share, "share"),
            "" if old_share is None else number(old_share, "share"),
            "" if old_share is None else _points(share - old_share),
        )
    )
    return rows


def rejected(path: Path, files: tuple[str, ...] | None = None) -> list[dict[str, Any]]:
    """Return the dropped rows (REJECTS) by reason, most first: count, words, and up to five examples.

    Of the drops in `files` only, if there are any names. Empty where there is no file at `path`.
    """
    if not path.is_file():
        return []
    rows = read_table(path, "extract")
    if files is not None:
        rows = rows.filter(pl.col(FILE).cast(pl.String).is_in(files))
    found = []
    for reason, count in (
        rows[REASON].value_counts(sort=True).sort("count", REASON, descending=[True, False]).rows()
    ):
        some = rows.filter(pl.col(REASON) == reason).sort(FILE, ROW).head(_EXAMPLES)
        found.append(
            {
                "reason": reason,
                "words": REASON_TEXTS.get(reason, reason),
                "bad": reason in rejects.BAD,
                "count": number(count),
                "examples": [
                    {"file": file, "row": number(row), "raw": shortened(raw)}
                    for file, row, raw in some.select(FILE, ROW, RAW).rows()
                ],
            }
        )
    return found


def _section(folder: ReleaseFolder, table: Table, *, check_files: bool) -> Section:
    found = result.read(folder, table)
    if found is None:
        status = "missing"
    elif check_files and not result.is_current(folder, found):
        status = "changed"
    else:
        status = found.status
    return Section(table, _TITLES[table], status, found)


def head(folder: ReleaseFolder, parts: tuple[Section, ...]) -> dict[str, Any]:
    """Return what stands at the top of the page of a release."""
    named = (part.result.reference for part in parts if part.result)
    reference = next((one for one in named if one), None)
    return {
        "release": folder.release,
        "partition": partition_of(folder.release),
        "reference": reference,
        "reference_has_page": reference is not None
        and ReleaseFolder(folder.root.parent / reference).data_page.is_file(),
        "model_has_page": folder.model_page.is_file(),
        "overall": overall(parts),
        "verdict": verdict(folder),
        "not_met": [
            (part, outcome)
            for part in parts
            for outcome in (part.result.outcomes if part.result else ())
            if outcome.status != "passed"
        ],
        "met": sum(part.met for part in parts),
        "judged": sum(len(part.result.outcomes) for part in parts if part.result),
    }


def _points(difference: float) -> str:
    points = round(difference * 100, 1)
    return "0 points" if not points else f"{points:+.1f} points".replace("-", "−")


def moment(text: str) -> str:
    """Return an ISO 8601 moment in UTC without its seconds' fraction: 2026-03-01 23:59 UTC."""
    return f"{text[:10]} {text[11:16]} UTC" if text else ""
