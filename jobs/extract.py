"""Extract: one accepted row per (user, book) out of all drops up to a day.

In: drops up to the partition, the catalogue, model settings (they enter the release id). Out: a release folder with
`interactions.parquet`, `books.parquet`, `to_read.parquet`, `rejects.parquet` and `inputs.json`. Guarantees that
every row of the drops is either in interactions or in rejects with its reason, that the newest row of a
(user, book) pair wins, and that the folder appears whole or not at all.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from jobs.model.settings import ModelSettings
from jobs.release.folder import DropsFolder, ReleaseFolder
from jobs.release.identity import InputFile, describe, release_id
from jobs.runtime.errors import BrokenInput
from jobs.runtime.files import sha256, write_json, write_table
from jobs.runtime.record import read_record, recorded
from jobs.source import books, drops, rejects
from schemas.tables import (
    ARRIVED_AT,
    BOOK_ID,
    BOOKS,
    FILE,
    INTERACTIONS,
    REASON,
    REJECTS,
    TO_READ,
    USER_ID,
)


@dataclass(frozen=True)
class Outcome:
    """The release that was begun and what went into it; `data_as_of` is the newest accepted row's arrival (UTC)."""

    release: str
    rows_in: int
    rows_accepted: int
    rejects: dict[str, int]
    users: int
    books: int
    data_as_of: str
    time_ordered: bool
    reused: bool = False


def run(
    source: DropsFolder,
    releases: Path,
    partition: str,
    settings: ModelSettings,
    *,
    max_reject_share: float,
    run_by: str,
    unchanged_ok: bool = False,
) -> Outcome:
    """Begin the release of `partition` and return its id and counts.

    Raises BrokenInput when input is missing or broken, or when more than `max_reject_share` of the rows, or of
    the newest day's rows, are bad (resolved repeats are not bad); NothingToDo when the partition has no drop of
    its own.
    """
    found = drops.up_to(source, partition, unchanged_ok=unchanged_ok)
    inputs = _inputs(source, found)
    release = ReleaseFolder(releases / release_id(partition, inputs, settings))
    standing = read_record(release.records, "extract")
    if standing is not None:
        return Outcome(**standing, reused=True)
    releases.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".extract-", dir=releases) as temporary:
        new = ReleaseFolder(Path(temporary) / release.release)
        new.root.mkdir()
        with recorded("extract", new.records, run_by) as counts:
            counts.update(_fill(new, source, found, max_reject_share))
        outcome = Outcome(**counts)
        time_ordered = drops.time_ordered(source)
        write_json(
            new.inputs,
            describe(partition, inputs, settings, time_ordered=time_ordered, drops=source.root),
        )
        _appear(new.root, release.root)
    return outcome


def _appear(new: Path, target: Path) -> None:
    try:
        new.rename(target)
    except OSError:
        # Another extract of the same work was quicker: its folder holds the same bytes.
        if not target.exists():
            raise
        shutil.rmtree(new)


def _inputs(source: DropsFolder, found: tuple[drops.Drop, ...]) -> tuple[InputFile, ...]:
    catalogue = [
        InputFile(str(path.relative_to(source.root)), books.count_rows(path), sha256(path))
        for path in sorted(source.catalogue.glob("*.csv"))
    ]
    dated = [
        InputFile(str(drop.path.relative_to(source.root)), drop.rows, sha256(drop.path))
        for drop in found
    ]
    return (*catalogue, *dated)


def _fill(
    new: ReleaseFolder,
    source: DropsFolder,
    found: tuple[drops.Drop, ...],
    max_reject_share: float,
) -> dict[str, Any]:
    cards, wishes = books.cards(source.catalogue)
    write_table(new.books, cards.to_arrow(), BOOKS)
    write_table(new.to_read, wishes.to_arrow(), TO_READ)
    raw = drops.read(found, source.root)
    judged = rejects.judge(raw, cards[BOOK_ID])
    accepted, dropped = rejects.resolve(judged)
    write_table(new.rejects, dropped.to_arrow(), REJECTS)
    by_reason = dict(sorted(dropped[REASON].value_counts().rows()))
    # The newest day is judged by itself too: in years of good rows a broken day would not show.
    day = found[-1].day
    files = [str(drop.path.relative_to(source.root)) for drop in found if drop.day == day]
    of_day = dropped.filter(pl.col(FILE).cast(pl.String).is_in(files))
    day_rows = sum(drop.rows for drop in found if drop.day == day)
    for what, reasons, rows in (
        ("", by_reason, raw.height),
        (f" of {day}", dict(of_day[REASON].value_counts().rows()), day_rows),
    ):
        if rejects.too_many(reasons, rows, max_reject_share):
            # The unfinished release folder goes away; its rejects stay where they can be read.
            kept = source.root.parent / "rejected" / f"{new.release}.parquet"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(new.rejects, kept)
            raise rejects.refusal(reasons, rows, max_reject_share, kept, what)
    if accepted.is_empty():
        raise BrokenInput("no row was accepted", str(source.ratings), "look into the drops")
    write_table(new.interactions, accepted.to_arrow(), INTERACTIONS)
    newest = accepted[ARRIVED_AT].max()
    return {
        "release": new.release,
        "rows_in": raw.height,
        "rows_accepted": accepted.height,
        "rejects": by_reason,
        "users": accepted[USER_ID].n_unique(),
        "books": accepted[BOOK_ID].n_unique(),
        "data_as_of": newest.isoformat(),  # type: ignore[union-attr]  # a timestamp: not empty
        "time_ordered": drops.time_ordered(source),
    }
