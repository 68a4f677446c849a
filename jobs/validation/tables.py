"""The three tables that are validated: what is read for each, and in which order its suites are validated.

In: a `Task`. Out: a validation and the numbers for the report. Guarantees that only files of the release and of its
reference are read, and that what the gates need is validated before anything is computed from it.
"""

from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.ingest import settings as row_settings
from jobs.model import settings as model_settings
from jobs.release import inputs
from jobs.runtime.artifacts import ReleaseFolder, require
from jobs.runtime.record import read_record
from jobs.validation import (
    books,
    busiest,
    columns,
    expectations,
    facts,
    interactions,
    lists,
    other_lists,
    shelf,
)
from jobs.validation.bounds import Bounds
from jobs.validation.expectations import Validation
from jobs.validation.listing import Base
from jobs.validation.listing import Given as ListsGiven
from jobs.validation.result import Table
from schemas.manifest import partition_of
from schemas.tables import BOOK_ID, REASON, SOURCE, USER_ID

#: What the catalogue must have for books to have genres.
_TAG_FILES = ("tags.csv", "book_tags.csv")


@dataclass(frozen=True)
class Task:
    """What is to be validated, compared with which release, and within which bounds."""

    folder: ReleaseFolder
    table: Table
    reference: ReleaseFolder | None
    bounds: Bounds
    max_reject_share: float


def validate(task: Task) -> tuple[Validation, dict[str, Any]]:
    """Return the validation of a table and its numbers. Raises BrokenInput when a file cannot be read."""
    by_table = {"interactions": _interactions, "books": _books, "lists": _lists}
    return by_table[task.table](task)


def _interactions(task: Task) -> tuple[Validation, dict[str, Any]]:
    folder = task.folder
    table = columns.load(folder.interactions, "extract")
    gates = expectations.validate(interactions.gates(table))
    if gates.stopped_at is not None:
        return gates, {}
    positive_from = model_settings.of_release(folder).positive_from
    before = None
    if task.reference is not None:
        earlier = columns.load(task.reference.interactions, "extract", facts.COLUMNS)
        before = facts.of(earlier, positive_from)
        del earlier  # 100 MB of 6 million rows
    own = facts.of(table, positive_from)
    since = facts.since(table, before.data_as_of, positive_from) if before else None
    reasons = columns.load(folder.rejects, "extract")[REASON]
    known = columns.load(folder.books, "extract")[BOOK_ID]
    given = interactions.Given(
        partition=partition_of(folder.release),
        positive_from=positive_from,
        max_reject_share=task.max_reject_share,
        bounds=task.bounds,
        reference=before,
        since=since,
        rows=row_settings.of_release(folder),
    )
    numbers = {
        "release": asdict(own),
        "reference": asdict(before) if before else None,
        "since_reference": asdict(since) if since else None,
        "rejects": _counts(reasons),
        "positive_from": positive_from,
    }
    newer_than = before.data_as_of if before else None
    found = (
        *interactions.suites(table, known, reasons, own, given),
        *busiest.suites(table, len(known), newer_than, task.bounds),
    )
    return gates.then(found), numbers


def _books(task: Task) -> tuple[Validation, dict[str, Any]]:
    table = columns.load(task.folder.books, "extract")
    gates = expectations.validate(books.gates(table))
    if gates.stopped_at is not None:
        return gates, {}
    read = inputs.read(task.folder)["inputs"]
    # A file with a header alone has no tags.
    files = {str(file["path"]).rsplit("/", 1)[-1] for file in read if file["rows"]}
    extracted = read_record(task.folder.records, "extract") or {}
    cleared = extracted.get("cleared", {})
    before = _rows(task.reference.books, "extract") if task.reference else None
    given = books.Given(
        partition=partition_of(task.folder.release),
        has_tags=files.issuperset(_TAG_FILES),
        bounds=task.bounds,
        reference=before,
        cleared=cleared,
    )
    numbers = {"books": table.num_rows, "books_of_reference": before, "cleared": cleared}
    return gates.then(books.suites(table, given)), numbers


def _lists(task: Task) -> tuple[Validation, dict[str, Any]]:
    folder = task.folder
    users = columns.load(folder.lists, "recommend")
    popular = columns.load(folder.popularity, "recommend")
    similar = columns.load(folder.similar, "recommend")
    gates = expectations.validate(lists.gates(users, popular, similar))
    if gates.stopped_at is not None:
        return gates, {}
    cards = columns.load(folder.books, "extract")
    rated = columns.load(folder.interactions, "extract", (USER_ID, BOOK_ID))
    base = Base(rated[USER_ID].to_numpy(), rated[BOOK_ID].to_numpy(), cards[BOOK_ID].to_numpy())
    settings = model_settings.of_release(folder)
    before = _rows(task.reference.lists, "recommend") if task.reference else None
    given = ListsGiven(
        settings.list_length,
        settings.similar_length,
        task.bounds,
        before,
        by_score=settings.rules is None,
    )
    numbers = {
        "lists": users.num_rows,
        "lists_of_reference": before,
        "sources": _counts(users[SOURCE]),
        "popularity_lists": popular.num_rows,
        "similar_lists": similar.num_rows,
    }
    suites = (
        *lists.suites(users, base, given),
        *(shelf.suites(users, cards, base, given, settings.rules) if settings.rules else ()),
        *other_lists.popularity_suites(popular, cards, base, given),
        *other_lists.similar_suites(similar, base, given),
    )
    return gates.then(suites), numbers


def _rows(path: Any, step: str) -> int:
    return int(pq.read_metadata(require(path, step)).num_rows)


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(values).to_pylist()
    return {one["values"]: one["counts"] for one in counted}
