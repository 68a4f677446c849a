"""The rows of dated drops.

In: the drop files of `jobs.ingest.days`. Out: their raw rows in batches, and whether they tell time. A drop that is
damaged, lacks a column or has one of a type that cannot be used is refused with its name.

A drop needs the columns user_id, book_id and rating, as text or as numbers. Two more are taken where they are there:
arrived_at (a timestamp, in NIGHTSHELF_TIMEZONE where it has no zone; else the day's midnight there) and source_row
(else the row's number in the day's drop, file by file, so that it does not depend on how rows were cut into files).
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from jobs.ingest import numbers, time_order
from jobs.ingest.csv_layout import column_name
from jobs.ingest.days import REQUIRED, Drop, damaged
from jobs.ingest.settings import DEFAULTS, RowSettings
from jobs.runtime.artifacts import DropsFolder
from jobs.runtime.documents import read_document
from jobs.runtime.errors import BrokenInput
from schemas.tables import ARRIVED_AT, FILE, ROW, SOURCE_ROW

_BATCH_ROWS = 1 << 18


def batches(drop: Drop, files: pl.Enum, rows: RowSettings = DEFAULTS) -> Iterator[pl.DataFrame]:
    """Give the raw rows of a drop in file order, a quarter of a million at a time: text takes much memory.

    Columns: the three rating columns as they are, ARRIVED_AT, SOURCE_ROW, FILE (of type `files`), ROW. Raises
    BrokenInput when the file lacks a column, has one of a type that cannot be used, or is damaged.
    """
    names = _usable(drop)
    columns = [pl.col(own).alias(name) for name, own in names.items()]
    # polars decodes text five times as fast as pyarrow's iter_batches (0.3 s for 6 million rows).
    lazy = pl.scan_parquet(drop.path, glob=False, hive_partitioning=False).select(columns)
    for start in range(0, drop.rows, _BATCH_ROWS):
        try:
            frame = lazy.slice(start, _BATCH_ROWS).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise damaged(drop.path, error) from error
        yield _dated(frame, drop, files, start + 1, rows)


def of_files(drops: tuple[Drop, ...]) -> pl.Enum:
    """Return the type of the FILE column: the drops' names, in their order."""
    return pl.Enum([drop.name for drop in drops])


def time_ordered(drops: DropsFolder, accepted: pl.DataFrame) -> bool:
    """Say whether arrival tells time: as replay found it for its source, else as the `accepted` rows show it."""
    described: dict[str, Any] = {}
    # Not `is_file`, which from Python 3.14 on also says no to a file that may not be read.
    if not _is_absent(drops.source):
        described = read_document(drops.source, "replay --replace")
    found = described.get("time_ordered")
    return time_order.do_days_tell_time(accepted) if found is None else bool(found)


def _is_absent(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    return False


def is_dated(drop: Drop) -> bool:
    """Say whether the rows have times of their own."""
    return ARRIVED_AT in {column_name(own) for own in pq.read_schema(drop.path).names}


def _dated(
    frame: pl.DataFrame, drop: Drop, files: pl.Enum, first: int, rows: RowSettings
) -> pl.DataFrame:
    row = pl.int_range(first, first + frame.height, dtype=pl.Int64)
    arrived_at: pl.Expr = pl.lit(rows.midnight(drop.day))
    if ARRIVED_AT in frame.columns:
        arrived_at = _instant(frame.schema[ARRIVED_AT], rows.timezone)
    source_row: pl.Expr | pl.Series = row + (drop.first_row - 1)
    if SOURCE_ROW in frame.columns:
        source_row = _source_rows(frame[SOURCE_ROW], drop)
    return frame.select(
        *REQUIRED,
        arrived_at.cast(pl.Datetime("us", "UTC")).alias(ARRIVED_AT),
        source_row.alias(SOURCE_ROW),
        pl.lit(drop.name, files).alias(FILE),
        row.cast(pl.Int32).alias(ROW),
    )


def _instant(kind: pl.DataType, zone: str) -> pl.Expr:
    """Return the expression of ARRIVED_AT in UTC; without a zone it is a time of `zone`, or a date's midnight there.

    A time that the clocks show twice is the first of both. One that they skip counts on from the time before the gap,
    as Python has it (PEP 495).
    """
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        return pl.col(ARRIVED_AT)
    local = pl.col(ARRIVED_AT).cast(pl.Datetime("us"))
    hour = pl.duration(hours=1)
    before_gap = _of_zone(local - hour, zone) + hour
    return pl.coalesce(_of_zone(local, zone), before_gap)


def _of_zone(local: pl.Expr, zone: str) -> pl.Expr:
    found = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return found.dt.convert_time_zone("UTC")


def _source_rows(given: pl.Series, drop: Drop) -> pl.Series:
    row = numbers.whole(given)
    if row.null_count() > given.null_count():
        cell = given.filter(row.is_null() & given.is_not_null())[0]
        raise BrokenInput(
            f"the column {SOURCE_ROW} of the drop of {drop.day} holds {cell!r}, not a whole number",
            str(drop.path),
            "correct it at the source and land the drop again",
        )
    return row


def _usable(drop: Drop) -> dict[str, str]:
    """Return the columns to read: by our name, how the file writes it."""
    schema = pq.read_schema(drop.path)
    names = Counter(column_name(own) for own in schema.names)
    missing = [column for column in REQUIRED if column not in names]
    if missing:
        raise BrokenInput(
            f"the drop of {drop.day} has no column {', '.join(missing)} "
            f"(it has {', '.join(schema.names)})",
            str(drop.path),
            "rename the columns at the source and land the drop again",
        )
    wanted = (*REQUIRED, ARRIVED_AT, SOURCE_ROW)
    twice = [column for column in wanted if names[column] > 1]
    if twice:
        raise BrokenInput(
            f"the drop of {drop.day} has the column {', '.join(twice)} more than once",
            str(drop.path),
            "remove or rename all but the right one at the source and land the drop again",
        )
    found = {name: own for own in schema.names if (name := column_name(own)) in wanted}
    for column, own in found.items():
        kind = schema.field(own).type
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
    text = (types.is_string, types.is_large_string, types.is_string_view)
    numeric = (types.is_integer, types.is_floating, types.is_decimal)
    return any(test(plain) for test in (*text, *numeric, types.is_null))


def _is_instant(kind: pa.DataType) -> bool:
    return bool(types.is_timestamp(kind) or types.is_date(kind))


_KINDS = {
    ARRIVED_AT: (_is_instant, "timestamps"),
}
