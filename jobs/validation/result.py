"""The kept result of a validation: whether a table was found good, and whether that still holds.

In: `validation/<table>.json` of a release and the files it validated. Out: a status, and the expectations with
observed value and verdict. Guarantees that only a result about the very bytes that lie in the release now
counts: it carries the SHA-256 of every file it read, and one that differs makes the result stale, which is
no result. Free of Great Expectations, so that asking costs no import.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import BrokenInput, GateRefused
from jobs.runtime.files import sha256, write_json

Status = Literal["passed", "failed", "crashed"]
Table = Literal["interactions", "books", "lists"]

TABLES: tuple[Table, ...] = ("interactions", "books", "lists")

FORMAT = 1


@dataclass(frozen=True)
class ExpectationResult:
    """One expectation: its `name`, what it expects in words, what was `observed`, and a verdict.

    `status` is that of this expectation alone; `examples` are offending values, already as text.
    """

    name: str
    text: str
    observed: str
    status: Status
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What a validation found; `judged` maps names of files in the release to their SHA-256."""

    release: str
    table: Table
    reference: str | None
    status: Status
    outcomes: tuple[ExpectationResult, ...]
    judged: dict[str, str]
    bounds: dict[str, Any]
    facts: dict[str, Any]


def judged_files(folder: ReleaseFolder, table: Table) -> tuple[Path, ...]:
    """Return the files of a release that the validation of `table` reads."""
    return {
        "interactions": (folder.interactions, folder.books, folder.rejects),
        "books": (folder.books,),
        "lists": (
            folder.lists,
            folder.popularity,
            folder.similar,
            folder.interactions,
            folder.books,
        ),
    }[table]


def digests(folder: ReleaseFolder, table: Table) -> dict[str, str]:
    """Return the SHA-256 of each file that the validation of `table` reads and that is there."""
    return {path.name: sha256(path) for path in judged_files(folder, table) if path.is_file()}


def write(folder: ReleaseFolder, result: Result, suite: dict[str, Any]) -> None:
    """Keep a result beside the release; `suite` is what Great Expectations said, JSON-safe."""
    content = {"format": FORMAT, **asdict(result), "great_expectations": suite}
    write_json(folder.validation(result.table), content)


def read(folder: ReleaseFolder, table: Table) -> Result | None:
    """Return the kept result of `table`, stale or not; None when there is none.

    Raises BrokenInput when the file is not a result that this version writes.
    """
    path = folder.validation(table)
    if not path.is_file():
        return None
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenInput(
            f"the validation result cannot be read: {error}",
            str(path),
            f"run `nightshelf validate --release {folder.release} --table {table}` again",
        ) from error


def _parsed(text: str) -> Result:
    content = json.loads(text)
    if content.pop("format") != FORMAT:
        raise ValueError("unknown format")
    content.pop("great_expectations")
    outcomes = tuple(
        ExpectationResult(**{**outcome, "examples": tuple(outcome["examples"])})
        for outcome in content.pop("outcomes")
    )
    return Result(**content, outcomes=outcomes)


def is_current(folder: ReleaseFolder, result: Result) -> bool:
    """Tell whether `result` is about this release and the files that lie in it now."""
    return result.release == folder.release and result.judged == digests(folder, result.table)


def status(folder: ReleaseFolder, table: Table) -> Status | None:
    """Return what the validation of `table` came to; None when there is none or it is stale.

    Reads every validated file once to compare digests. Raises BrokenInput as `read` does.
    """
    result = read(folder, table)
    return result.status if result is not None and is_current(folder, result) else None


def require_passed(folder: ReleaseFolder, tables: tuple[Table, ...] = TABLES) -> None:
    """Return if every one of `tables` passed, as it lies now.

    Raises GateRefused that names each table which did not: failed, crashed, never validated, or changed since.
    """
    reasons = []
    for table in tables:
        result = read(folder, table)
        if result is None:
            reasons.append(f"{table}: not validated")
        elif not is_current(folder, result):
            reasons.append(f"{table}: changed since it was validated")
        elif result.status != "passed":
            reasons.append(f"{table}: validation {result.status}")
    if reasons:
        raise GateRefused(
            f"release {folder.release} is not validated ({'; '.join(reasons)})",
            str(folder.validation(tables[0]).parent),
            "run `nightshelf validate` for these tables; fix the data if it fails again",
        )
