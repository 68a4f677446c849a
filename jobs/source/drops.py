"""Dated drops: which there are up to a day, and their rows.

In: a drops folder and a partition. Out: the drop files in order, and their raw rows in batches. Guarantees that no
drop after the partition is read, and that a drop which cannot be read, is empty or lacks a column is refused
with its name.

A drop needs the columns user_id, book_id and rating, as text or as numbers. Two more are taken where they are there:
arrived_at (a timestamp, UTC where it has no zone; else the day's midnight) and source_row (else the row's number).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from jobs.release.folder import DropsFolder
from jobs.runtime.errors import BrokenInput, NothingToDo
from schemas.tables import ARRIVED_AT, BOOK_ID, FILE, RATING, ROW, SOURCE_ROW, USER_ID

REQUIRED = (USER_ID, BOOK_ID, RATING)

_PREFIX = "ds="
_BATCH_ROWS = 1 << 18
#: A day that ends in another time zone ends at most so much later in UTC.
_LONGEST_LAG = timedelta(days=1)


@dataclass(frozen=True)
class Seen:
    """What a file of a day's drop looks like from outside; `rows` is None and `columns` empty if it cannot be read."""

    name: str
    rows: int | None
    columns: tuple[str, ...]

    @property
    def lacks(self) -> tuple[str, ...]:
        """The needed columns that a readable file does not have."""
        if self.rows is None:
            return ()
        return tuple(column for column in REQUIRED if column not in self.columns)


@dataclass(frozen=True)
class Drop:
    """One file of a day's drop; `name` is its path below the drops folder."""

    day: str
    path: Path
    name: str
    rows: int

    @property
    def midnight(self) -> datetime:
        """The first instant of the day (UTC)."""
        day = date.fromisoformat(self.day)
        return datetime(day.year, day.month, day.day, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first instant (UTC) that none of the rows can have arrived at, wherever its day was counted."""
        return self.midnight + timedelta(days=1) + _LONGEST_LAG


def up_to(drops: DropsFolder, partition: str, *, unchanged_ok: bool) -> tuple[Drop, ...]:
    """Return the drop files of all days up to `partition`, in order of day and name.

    Raises BrokenInput when there are no drops, when the partition is before the first, or when a drop is empty or
    unreadable; NothingToDo when the partition's own day has none, unless `unchanged_ok`.
    """
    files = {_day(folder): sorted(folder.glob("*.parquet")) for folder in _folders(drops)}
    days = sorted(day for day, paths in files.items() if paths)
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
            str(drops.ratings / f"{_PREFIX}{partition}"),
            "land the day's drop, or give --unchanged-ok to train on what there is",
        )
    return tuple(
        Drop(day, path, str(path.relative_to(drops.root)), _rows(path))
        for day in days
        if day <= partition
        for path in files[day]
    )


def seen(drops: DropsFolder, partition: str) -> tuple[Seen, ...]:
    """Return what lies in the partition's own drop, broken files too, by name."""
    paths = sorted((drops.ratings / f"{_PREFIX}{partition}").glob("*.parquet"))
    return tuple(_seen(path, str(path.relative_to(drops.root))) for path in paths)


def _seen(path: Path, name: str) -> Seen:
    try:
        content = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return Seen(name, None, ())
    return Seen(name, int(content.num_rows), tuple(content.schema.to_arrow_schema().names))


def batches(drop: Drop, files: pl.Enum) -> Iterator[pl.DataFrame]:
    """Give the raw rows of a drop in file order, a quarter of a million at a time: text takes much memory.

    Columns: the three rating columns as they are, ARRIVED_AT, SOURCE_ROW, FILE (of type `files`), ROW. Raises
    BrokenInput when the file lacks a column, has one of a type that cannot be used, or is damaged.
    """
    names = _usable(drop)
    # polars decodes text five times as fast as pyarrow's iter_batches (0.3 s for 6 million rows).
    lazy = pl.scan_parquet(drop.path, glob=False, hive_partitioning=False).select(names)
    for start in range(0, drop.rows, _BATCH_ROWS):
        try:
            frame = lazy.slice(start, _BATCH_ROWS).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _damaged(drop.path, error) from error
        yield _dated(frame, drop, files, start + 1)


def of_files(drops: tuple[Drop, ...]) -> pl.Enum:
    """Return the type of the FILE column: the drops' names, in their order."""
    return pl.Enum([drop.name for drop in drops])


def time_ordered(drops: DropsFolder) -> bool:
    """Say whether arrival tells time: false for a replay of rows that were in no order of time."""
    if not drops.source.is_file():
        return True
    return bool(json.loads(drops.source.read_text(encoding="utf-8")).get("time_ordered", True))


def _folders(drops: DropsFolder) -> list[Path]:
    return [path for path in drops.ratings.glob(f"{_PREFIX}*") if path.is_dir()]


def _day(folder: Path) -> str:
    day = folder.name.removeprefix(_PREFIX)
    try:
        if str(date.fromisoformat(day)) == day:
            return day
    except ValueError:
        pass
    raise BrokenInput(
        f"{folder.name} names no day",
        str(folder),
        "name it ds=YYYY-MM-DD after the day its files arrived, or move it away",
    )


def _dated(frame: pl.DataFrame, drop: Drop, files: pl.Enum, first: int) -> pl.DataFrame:
    row = pl.int_range(first, first + frame.height, dtype=pl.Int64)
    arrived_at = pl.col(ARRIVED_AT) if ARRIVED_AT in frame.columns else pl.lit(drop.midnight)
    source_row = pl.col(SOURCE_ROW) if SOURCE_ROW in frame.columns else row
    return frame.select(
        *REQUIRED,
        arrived_at.cast(pl.Datetime("us", "UTC")).alias(ARRIVED_AT),
        source_row.cast(pl.Int64).alias(SOURCE_ROW),
        pl.lit(drop.name, files).alias(FILE),
        row.cast(pl.Int32).alias(ROW),
    )


def _usable(drop: Drop) -> list[str]:
    """Return the columns to read."""
    schema = pq.read_schema(drop.path)
    missing = [column for column in REQUIRED if column not in schema.names]
    if missing:
        raise BrokenInput(
            f"the drop of {drop.day} has no column {', '.join(missing)} "
            f"(it has {', '.join(schema.names)})",
            str(drop.path),
            "rename the columns at the source and land the drop again",
        )
    found = [column for column in (*REQUIRED, ARRIVED_AT, SOURCE_ROW) if column in schema.names]
    for column in found:
        kind = schema.field(column).type
        allowed, what = _KINDS.get(column, (_is_text_or_number, "text or numbers"))
        if not allowed(kind):
            raise BrokenInput(
                f"the column {column} of the drop of {drop.day} holds {kind}, not {what}",
                str(drop.path),
                "change its type at the source and land the drop again",
            )
    return found


def _is_text_or_number(kind: pa.DataType) -> bool:
    plain = kind.value_type if types.is_dictionary(kind) else kind
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating)
    return any(test(plain) for test in (*tests, types.is_null))


def _is_instant(kind: pa.DataType) -> bool:
    return bool(types.is_timestamp(kind) or types.is_date(kind))


_KINDS = {
    ARRIVED_AT: (_is_instant, "timestamps"),
    SOURCE_ROW: (types.is_integer, "whole numbers"),
}


def _rows(path: Path) -> int:
    try:
        rows = int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    if rows == 0:
        raise BrokenInput(
            "the drop is empty: it has columns and no rows",
            str(path),
            "land the drop again, or remove the file if nothing arrived that day",
        )
    return rows


def _damaged(path: Path, error: Exception) -> BrokenInput:
    return BrokenInput(
        f"{path.name} is no whole parquet file: {str(error).splitlines()[0]}",
        str(path),
        "land the drop again",
    )
