"""Extract: one accepted row per (user, book) out of all drops up to a day.

In: drops up to the partition, the catalogue, settings of rows and model (they enter the release id). Out: a release
folder with `interactions.parquet`, `books.parquet`, `to_read.parquet`, `rejects.parquet` and `inputs.json`. Guarantees
that every row of the drops is either in interactions or in rejects with its reason, that the newest row of a
(user, book) pair wins, and that the folder appears complete or not at all.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import polars as pl

from jobs.ingest import books, csv_file, days, drops, rejects
from jobs.ingest import settings as row_settings
from jobs.ingest.settings import RowSettings
from jobs.model.settings import ModelSettings, as_mapping
from jobs.release import inputs as begun
from jobs.release.identity import InputFile, describe, release_id
from jobs.runtime.artifacts import DropsFolder, ReleaseFolder
from jobs.runtime.errors import BrokenInput
from jobs.runtime.files import sha256, write_json
from jobs.runtime.progress import progress
from jobs.runtime.record import finished, recorded
from jobs.runtime.table_files import write_table
from schemas.manifest import partition_of
from schemas.tables import (
    ARRIVED_AT,
    BOOK_ID,
    BOOKS,
    FILE,
    INTERACTIONS,
    REASON,
    REJECTS,
    ROW,
    SOURCE_ROW,
    TO_READ,
    USER_ID,
)


@dataclass(frozen=True)
class ExtractResult:
    """The release that was begun and what went into it.

    `cleared` counts cells of cards that are only shown, by column.
    `data_as_of` is the newest accepted row's arrival (UTC); `wishes_dropped` counts rows of to_read.csv that repeat
    another or name no known book, `skipped` the entries of the drops folder without rows (`markers`, `empty_parts`),
    `delivered_before` by day the rows without times of their own that had come before.
    """

    release: str
    rows_in: int
    rows_accepted: int
    rejects: dict[str, int]
    users: int
    books: int
    data_as_of: str
    time_ordered: bool
    wishes: int = 0
    wishes_dropped: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    delivered_before: dict[str, int] = field(default_factory=dict)
    cleared: dict[str, int] = field(default_factory=dict)
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
    marker: str = "",
    rows: RowSettings = row_settings.DEFAULTS,
) -> ExtractResult:
    """Begin the release of `partition` and return its id and counts.

    Raises BrokenInput when input is missing or broken, or when more than `max_reject_share` of the rows, or of
    the newest day's rows, are bad (resolved repeats are not bad); NothingToDo when the partition has no drop of
    its own.
    """
    found = days.up_to(source, partition, unchanged_ok=unchanged_ok, marker=marker)
    inputs = _inputs(source, found)
    shaping = (partition, inputs, as_mapping(settings), row_settings.as_mapping(rows))
    release = ReleaseFolder(releases / release_id(*shaping))
    standing = finished(release.records, "extract", ExtractResult)
    if standing is not None:
        _require_all(release)
        return standing
    releases.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".extract-", dir=releases) as temporary:
        new = ReleaseFolder(Path(temporary) / release.release)
        new.root.mkdir()
        with recorded("extract", new.records, run_by) as counts:
            counts.update(_fill(new, source, found.drops, max_reject_share, rows))
            counts["skipped"] = {"markers": found.markers, "empty_parts": found.empty_parts}
        outcome = ExtractResult(**counts)
        write_json(
            new.inputs,
            describe(*shaping, time_ordered=outcome.time_ordered, drops=source.root),
        )
        _appear(new.root, release.root)
    return outcome


def _require_all(release: ReleaseFolder) -> None:
    """Raise BrokenInput when a release that was begun lacks a file of its beginning: extract alone writes them."""
    begun.read(release)
    files = (release.interactions, release.books, release.to_read, release.rejects)
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise BrokenInput(
            f"the release of these inputs was begun, but lacks {', '.join(missing)}",
            str(release.root),
            "bring them back from a backup, or remove the folder and run extract again",
        )


def _appear(new: Path, target: Path) -> None:
    try:
        new.rename(target)
    except OSError:
        # Another extract of the same work was quicker: its folder holds the same bytes.
        if not target.exists():
            raise
        shutil.rmtree(new)


def _inputs(source: DropsFolder, found: days.Found) -> tuple[InputFile, ...]:
    catalogue = [
        InputFile(str(path.relative_to(source.root)), csv_file.count_rows(path), sha256(path))
        for path in found.catalogue
    ]
    dated = [
        InputFile(str(drop.path.relative_to(source.root)), drop.rows, sha256(drop.path))
        for drop in found.drops
    ]
    return (*catalogue, *dated)


def _fill(
    new: ReleaseFolder,
    source: DropsFolder,
    found: tuple[days.Drop, ...],
    max_reject_share: float,
    rows: RowSettings,
) -> dict[str, Any]:
    """Write the tables of a release and return its counts."""
    catalogue = books.read(source.catalogue, partition_of(new.release), rows)
    write_table(new.books, catalogue.cards.to_arrow(), BOOKS)
    write_table(new.to_read, catalogue.to_read.to_arrow(), TO_READ)
    accepted, dropped = _resolved(found, catalogue.cards[BOOK_ID].cast(pl.Int64), rows)
    write_table(new.rejects, dropped.to_arrow(), REJECTS)
    _require_few_rejects(new, source, found, dropped, max_reject_share, settings=rows)
    if accepted.is_empty():
        names = tuple(drop.name for drop in found)
        kept = _kept(new, source)
        raise rejects.TooManyRejects("no row was accepted", str(kept), "look into the drops", names)
    write_table(new.interactions, accepted.to_arrow(), INTERACTIONS, (ARRIVED_AT, SOURCE_ROW))
    return {
        "release": new.release,
        "rows_in": sum(drop.rows for drop in found),
        "rows_accepted": accepted.height,
        "rejects": _by_reason(dropped),
        "delivered_before": _delivered_before(found, dropped),
        "users": accepted[USER_ID].n_unique(),
        "books": accepted[BOOK_ID].n_unique(),
        "data_as_of": cast("datetime", accepted[ARRIVED_AT].last()).isoformat(),
        "time_ordered": drops.time_ordered(source, accepted),
        "cleared": catalogue.cleared,
        "wishes": catalogue.to_read.height,
        "wishes_dropped": catalogue.to_read_dropped,
    }


def _resolved(
    found: tuple[days.Drop, ...], known_books: pl.Series, rows: RowSettings
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return accepted rows (INTERACTIONS) and dropped ones (REJECTS, by file and row)."""
    files = drops.of_files(found)
    good, bad = [], []
    with progress(sum(drop.rows for drop in found), "extract", "row", scaled=True) as bar:
        for drop in found:
            for batch in drops.batches(drop, files, rows):
                parted = rejects.split(batch, known_books, rows.end(drop.day), rows.leave_out_users)
                good.append(parted[0])
                bad.append(parted[1])
                bar.update(batch.height)
    # Not rechunked: a copy of all rows would be the greatest memory of the night (0.8 instead of 0.7 GB).
    accepted, repeated = rejects.resolve(
        pl.concat(good, rechunk=False),
        tuple(drop.name for drop in found if not drops.is_dated(drop)),
    )
    return accepted, pl.concat([*bad, repeated]).sort(FILE, ROW)


def _require_few_rejects(
    new: ReleaseFolder,
    source: DropsFolder,
    found: tuple[days.Drop, ...],
    dropped: pl.DataFrame,
    max_share: float,
    *,
    settings: RowSettings,
) -> None:
    """Raise BrokenInput if too many rows are bad, of all or of the newest day.

    The newest day is checked by itself too: in years of good rows a broken day would not show.
    """
    day = found[-1].day
    of_day = tuple(drop for drop in found if drop.day == day)
    names = tuple(drop.name for drop in of_day)
    for what, files, rows in (
        ("", found, dropped),
        (f" of {day}", of_day, dropped.filter(pl.col(FILE).cast(pl.String).is_in(names))),
    ):
        count = sum(drop.rows for drop in files)
        if rejects.too_many(_by_reason(rows), count, max_share):
            raise rejects.refusal(
                _by_reason(rows),
                count,
                max_share,
                _kept(new, source),
                files=tuple(drop.name for drop in files),
                settings=settings,
                of=what,
            )


def _kept(new: ReleaseFolder, source: DropsFolder) -> Path:
    """Copy the rejects of an unfinished release, whose folder goes away, to where they can be read."""
    kept = source.root.parent / "rejected" / f"{new.release}.parquet"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(new.rejects, kept)
    return kept


def _by_reason(dropped: pl.DataFrame) -> dict[str, int]:
    return dict(sorted(dropped[REASON].value_counts().rows()))


def _delivered_before(found: tuple[days.Drop, ...], dropped: pl.DataFrame) -> dict[str, int]:
    """Return how many rows of each day had been delivered before."""
    again = dropped.filter(pl.col(REASON) == rejects.DELIVERED_BEFORE)[FILE].cast(pl.String)
    by_file = dict(again.value_counts().rows())
    counts: dict[str, int] = {}
    for drop in found:
        if drop.name in by_file:
            counts[drop.day] = counts.get(drop.day, 0) + by_file[drop.name]
    return counts
