"""Dated drops: which there are up to a day, and their rows.

In: a drops folder and a partition. Out: the drop files in order, and one frame of raw rows. Guarantees that no
drop after the partition is read, and that a drop which cannot be read, is empty or lacks a column is refused
with its name.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.release.folder import DropsFolder
from jobs.runtime.errors import BrokenInput, NothingToDo
from schemas.tables import ARRIVED_AT, BOOK_ID, FILE, RATING, ROW, SOURCE_ROW, USER_ID

REQUIRED = (USER_ID, BOOK_ID, RATING)


@dataclass(frozen=True)
class Drop:
    """One file of a day's drop."""

    day: str
    path: Path
    rows: int


def up_to(drops: DropsFolder, partition: str, *, unchanged_ok: bool) -> tuple[Drop, ...]:
    """Return the drop files of all days up to `partition`, in order of day and name.

    Raises BrokenInput when there are no drops, when the partition is before the first, or when a drop is empty or
    unreadable; NothingToDo when the partition's own day has none, unless `unchanged_ok`.
    """
    folders = {path.name.removeprefix("ds="): path for path in drops.ratings.glob("ds=*")}
    days = sorted(day for day in folders if any(folders[day].glob("*.parquet")))
    if not days:
        raise BrokenInput(
            "there are no drops",
            str(drops.ratings),
            "land some, for example with `nightshelf replay`",
        )
    if partition < days[0]:
        raise BrokenInput(
            f"partition {partition} is older than the first drop, {days[0]}",
            str(drops.ratings),
            f"run {days[0]} or a later day",
        )
    if partition not in days and not unchanged_ok:
        raise NothingToDo(
            f"no drop has arrived for {partition}; the newest before it is "
            f"{max(day for day in days if day < partition)}",
            str(drops.ratings / f"ds={partition}"),
            "land the day's drop, or give --unchanged-ok to train on what there is",
        )
    return tuple(
        Drop(day, path, _rows(path))
        for day in days
        if day <= partition
        for path in sorted(folders[day].glob("*.parquet"))
    )


def read(drops: tuple[Drop, ...], root: Path) -> pl.DataFrame:
    """Return the raw rows of all drops: the three rating columns as they are, FILE, ROW, ARRIVED_AT, SOURCE_ROW.

    A drop without `arrived_at` has arrived at its day's midnight (UTC); one without `source_row` counts its rows.
    Raises BrokenInput when a file lacks a column.
    """
    return pl.concat([_read(drop, root) for drop in drops], how="vertical_relaxed")


def time_ordered(drops: DropsFolder) -> bool:
    """Say whether arrival tells time: false for a replay of rows that were in no order of time."""
    if not drops.source.is_file():
        return True
    return bool(json.loads(drops.source.read_text(encoding="utf-8")).get("time_ordered", True))


def _read(drop: Drop, root: Path) -> pl.DataFrame:
    names = pq.read_schema(drop.path).names
    missing = [column for column in REQUIRED if column not in names]
    if missing:
        raise BrokenInput(
            f"the drop of {drop.day} has no column {', '.join(missing)} (it has {', '.join(names)})",
            str(drop.path),
            "rename the columns at the source and land the drop again",
        )
    wanted = [column for column in (*REQUIRED, ARRIVED_AT, SOURCE_ROW) if column in names]
    frame = pl.read_parquet(drop.path, columns=wanted)
    row = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    day = date.fromisoformat(drop.day)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    arrived_at = pl.col(ARRIVED_AT) if ARRIVED_AT in names else pl.lit(midnight)
    return frame.select(
        *REQUIRED,
        arrived_at.cast(pl.Datetime("us", "UTC")).alias(ARRIVED_AT),
        (pl.col(SOURCE_ROW).cast(pl.Int64) if SOURCE_ROW in names else row).alias(SOURCE_ROW),
        pl.lit(str(drop.path.relative_to(root)), pl.Categorical).alias(FILE),
        row.alias(ROW),
    )


def _rows(path: Path) -> int:
    try:
        rows = int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise BrokenInput(
            f"{path.name} is no parquet file: {str(error).splitlines()[0]}",
            str(path),
            "land the drop again",
        ) from error
    if rows == 0:
        raise BrokenInput(
            "the drop is empty: it has columns and no rows",
            str(path),
            "land the drop again, or remove the file if nothing arrived that day",
        )
    return rows
