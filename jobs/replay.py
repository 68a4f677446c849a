"""Replay: give a source without dates the dates it needs for schedules and backfills.

In: a Goodbooks folder and a range of days. Out: `drops/ratings/ds=YYYY-MM-DD/part-0.parquet`, one a day, a copy of
the catalogue files and `source.json`. Guarantees that row order becomes arrival time, that bad rows arrive as
they are (judging them is extract's work), that the same source and range give the same bytes, and that
drops which are already there are replaced only when told so.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from jobs.release.folder import DropsFolder
from jobs.runtime.errors import WrongUsage
from jobs.runtime.files import making_folder, sha256, write_json, write_table
from jobs.runtime.progress import progress
from jobs.source import csv_file, goodbooks
from schemas.tables import ARRIVED_AT, BOOK_ID, DROP, SOURCE_ROW, USER_ID

_DAY_US = 24 * 60 * 60 * 1_000_000
_SORTED_SHARE = 0.99


@dataclass(frozen=True)
class Outcome:
    """What was landed: `days` drops with `rows` rows in all; `reused` when they were already there."""

    drops: str
    edition: str
    days: int
    rows: int
    time_ordered: bool
    reused: bool


def run(
    source: Path,
    drops: DropsFolder,
    first: date,
    last: date,
    first_day_share: float = 0.0,
    *,
    replace: bool = False,
) -> Outcome:
    """Land the ratings of `source` as drops from `first` to `last`, both included.

    The first day gets `first_day_share` (0 to below 1) of the rows, the other days equal parts of the rest; with 0 all
    days get equal parts. Raises WrongUsage for an empty range, or when other drops are there and `replace`
    is not given, or for fewer rows than days; BrokenInput for a source that cannot be read; TryLater when the
    disk is full.
    """
    if last < first or not 0 <= first_day_share < 1:
        raise WrongUsage(
            f"from {first} to {last} with a first-day share of {first_day_share} is no range",
            "command line",
            "give --from not after --to and a share of at least 0 and below 1",
        )
    found = goodbooks.find(source)
    ratings = goodbooks.read_ratings(found)
    description = _describe(found, ratings, first, last, first_day_share)
    if not all(description["days"].values()):
        raise WrongUsage(
            f"{ratings.height} rows do not fill {len(description['days'])} days",
            "command line",
            "give fewer days, or a smaller --first-day-share",
        )
    reused = _standing(drops, description, replace=replace)
    if not reused:
        _land(found, ratings, drops, description)
    return Outcome(
        drops=str(drops.root),
        edition=found.edition,
        days=len(description["days"]),
        rows=ratings.height,
        time_ordered=description["time_ordered"],
        reused=reused,
    )


def bounds(rows: int, days: int, first_day_share: float) -> list[int]:
    """Return where each day's rows start, and the end: `days + 1` ascending row numbers from 0 to `rows`."""
    if days == 1:
        return [0, rows]
    head = round(rows * first_day_share) if first_day_share else round(rows / days)
    return [0, *(head + (rows - head) * day // (days - 1) for day in range(days))]


def is_time_ordered(ratings: pl.DataFrame) -> bool:
    """Say whether the rows can be in order of time: a file sorted by book or by user is not.

    Sorted means that of the places where the id changes, 99 % go the same way: the first edition has 100 % of its
    books going up, the current one 55 %, and a few rows that were added at the end change nothing.
    """
    return not any(_is_sorted(ratings[column]) for column in (USER_ID, BOOK_ID))


def _is_sorted(column: pl.Series) -> bool:
    steps = column.cast(pl.Int64, strict=False).drop_nulls().diff().drop_nulls()
    changes = int((steps != 0).sum())
    up = int((steps > 0).sum())
    return changes > 0 and max(up, changes - up) >= _SORTED_SHARE * changes


def _describe(
    found: goodbooks.Goodbooks, ratings: pl.DataFrame, first: date, last: date, share: float
) -> dict[str, Any]:
    days = (last - first).days + 1
    starts = bounds(ratings.height, days, share)
    return {
        "edition": found.edition,
        "time_ordered": is_time_ordered(ratings),
        "from": str(first),
        "to": str(last),
        "first_day_share": share,
        "days": {
            str(first + timedelta(days=day)): starts[day + 1] - starts[day] for day in range(days)
        },
        "files": {
            path.name: {
                "rows": ratings.height if path == found.ratings else csv_file.count_rows(path),
                "sha256": sha256(path),
            }
            for path in found.files
        },
    }


def _standing(drops: DropsFolder, description: dict[str, Any], *, replace: bool) -> bool:
    if not drops.root.exists():
        return False
    if (
        drops.source.is_file()
        and json.loads(drops.source.read_text()) == description
        and all(_part(drops, day).is_file() for day in description["days"])
    ):
        return True
    if not replace:
        raise WrongUsage(
            "other or incomplete drops are already there",
            str(drops.root),
            "give --replace to replace them, or name another NIGHTSHELF_ARTIFACTS",
        )
    return False


def _land(
    found: goodbooks.Goodbooks,
    ratings: pl.DataFrame,
    drops: DropsFolder,
    description: dict[str, Any],
) -> None:
    with making_folder(drops.root, replace=True) as folder:
        new = DropsFolder(folder)
        new.catalogue.mkdir()
        for path in (found.books, *found.others):
            shutil.copyfile(path, new.catalogue / path.name)
        start = 0
        with progress(ratings.height, "replay", "row", scaled=True) as bar:
            for day, rows in description["days"].items():
                frame = _dated(ratings.slice(start, rows), date.fromisoformat(day), start)
                write_table(_part(new, day), frame.to_arrow(), DROP, (ARRIVED_AT, SOURCE_ROW))
                start += rows
                bar.update(rows)
        write_json(new.source, description)


def _part(drops: DropsFolder, day: str) -> Path:
    return drops.ratings / f"ds={day}" / "part-0.parquet"


def _dated(rows: pl.DataFrame, day: date, start: int) -> pl.DataFrame:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    index = pl.int_range(pl.len(), dtype=pl.Int64)
    step_us = _DAY_US // max(rows.height, 1)
    return rows.with_columns(
        (pl.lit(midnight).dt.cast_time_unit("us") + pl.duration(microseconds=index * step_us))
        .cast(pl.Datetime("us", "UTC"))
        .alias(ARRIVED_AT),
        (index + start + 1).alias(SOURCE_ROW),
    )
