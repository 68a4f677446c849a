"""Replay: give a source without dates the dates it needs for schedules and backfills.

In: a Goodbooks folder and a range of days. Out: `drops/ratings/ds=YYYY-MM-DD/part-0.parquet`, one a day, a copy of
the catalogue files (in UTF-8 where they are decoded) and `source.json`. Guarantees that row order becomes arrival
time, that bad rows arrive as they are (validating them is extract's work) and empty ones take no time, that the same
source and range give the same bytes, and that drops which are already there are replaced only when told so.
"""

import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from jobs.ingest import goodbooks, plain_text, time_order
from jobs.ingest.settings import DEFAULTS, RowSettings
from jobs.runtime.artifacts import DropsFolder
from jobs.runtime.errors import WrongUsage
from jobs.runtime.files import making_folder, read_json, sha256, write_json
from jobs.runtime.progress import progress
from jobs.runtime.table_files import write_table
from schemas.tables import ARRIVED_AT, DROP, SOURCE_ROW, USER_ID

#: Where a row stands among those that are not empty.
_PLACE = "place"


@dataclass(frozen=True)
class ReplayResult:
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
    encoding: str | None = None,
    rows: RowSettings = DEFAULTS,
) -> ReplayResult:
    """Land the ratings of `source` as drops from `first` to `last`, both included.

    The first day gets `first_day_share` (0 to below 1) of the rows, the other days equal parts of the rest; with 0 all
    days get equal parts. `encoding` is that of the files that are not UTF-8. Days are those of the time zone in `rows`.
    Raises WrongUsage for an empty range, or when other drops are there and `replace` is not given, or for fewer rows
    than days; BrokenInput for a source that cannot be read; TryLater when the disk is full.
    """
    if last < first or not 0 <= first_day_share < 1:
        raise WrongUsage(
            f"from {first} to {last} with a first-day share of {first_day_share} is no range",
            "command line",
            "give --from not after --to and a share of at least 0 and below 1",
        )
    plain_text.require_encoding(encoding)
    found = goodbooks.find(source, encoding)
    ratings = _placed(goodbooks.read_ratings(found))
    description = _describe(found, ratings, first, last, first_day_share, settings=rows)
    if not all(description["days"].values()):
        raise WrongUsage(
            f"{_count(ratings)} rows do not fill {len(description['days'])} days",
            "command line",
            "give fewer days, or a smaller --first-day-share",
        )
    reused = _standing(drops, description, replace=replace)
    if not reused:
        _land(found, ratings, drops, description, rows)
    return ReplayResult(
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


def _placed(ratings: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with how many rows that are not empty stand before each (_PLACE), at most the last one's."""
    if not ratings[USER_ID].str.contains(r"^\s*$").fill_null(value=True).any():
        return ratings.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_PLACE))
    is_full = ~pl.all_horizontal(pl.all().fill_null("").str.strip_chars() == "")
    place = is_full.cast(pl.Int64).cum_sum() - is_full.cast(pl.Int64)
    last = is_full.cast(pl.Int64).sum() - 1
    return ratings.with_columns(pl.min_horizontal(place, last).alias(_PLACE))


def _count(placed: pl.DataFrame) -> int:
    """Return the number of rows that are not empty."""
    return int(placed[_PLACE][-1]) + 1


def _describe(
    found: goodbooks.Goodbooks,
    ratings: pl.DataFrame,
    first: date,
    last: date,
    share: float,
    *,
    settings: RowSettings,
) -> dict[str, Any]:
    days = (last - first).days + 1
    starts = bounds(_count(ratings), days, share)
    rows = [int(row) for row in ratings[_PLACE].search_sorted(pl.Series(starts))]
    described = {
        "edition": found.edition,
        "time_ordered": time_order.is_time_ordered(ratings),
        "from": str(first),
        "to": str(last),
        "first_day_share": share,
        # Not there in UTC, so that drops which were landed before there were zones are known again.
        **({} if settings.timezone == DEFAULTS.timezone else {"timezone": settings.timezone}),
        "days": {
            str(first + timedelta(days=day)): rows[day + 1] - rows[day] for day in range(days)
        },
        "files": {
            path.name: {
                "rows": ratings.height if path == found.ratings else _other_rows(found, path),
                "sha256": sha256(path),
            }
            for path in found.files
        },
    }
    return described if found.encoding is None else {**described, "encoding": found.encoding}


def _other_rows(found: goodbooks.Goodbooks, path: Path) -> int:
    """Return the number of rows of a catalogue file. Raises BrokenInput when extract could not read it."""
    read = goodbooks.read_books if path == found.books else goodbooks.read_other
    return read(path, found.encoding).height


def _standing(drops: DropsFolder, description: dict[str, Any], *, replace: bool) -> bool:
    if not drops.root.exists():
        return False
    if _described(drops.source) == description and all(
        _part(drops, day).is_file() for day in description["days"]
    ):
        return True
    if not replace:
        raise WrongUsage(
            "other or incomplete drops are already there",
            str(drops.root),
            "give --replace to replace them, or name another NIGHTSHELF_ARTIFACTS",
        )
    return False


def _described(source: Path) -> dict[str, Any] | None:
    """Return what stands in source.json, None when it cannot be read: such drops are incomplete."""
    try:
        return read_json(source)
    except (ValueError, IsADirectoryError):
        return None


def _land(
    found: goodbooks.Goodbooks,
    ratings: pl.DataFrame,
    drops: DropsFolder,
    description: dict[str, Any],
    settings: RowSettings,
) -> None:
    with making_folder(drops.root, replace=True) as folder:
        new = DropsFolder(folder)
        new.catalogue.mkdir()
        for path in (found.books, *found.others):
            _copy(path, new.catalogue, found.encoding)
        start = 0
        with progress(ratings.height, "replay", "row", scaled=True) as bar:
            for day, rows in description["days"].items():
                frame = _dated(ratings.slice(start, rows), day, settings)
                write_table(_part(new, day), frame.to_arrow(), DROP, (ARRIVED_AT, SOURCE_ROW))
                start += rows
                bar.update(rows)
        write_json(new.source, description)


def _copy(path: Path, catalogue: Path, encoding: str | None) -> None:
    """Copy a file as it is, or as UTF-8 where its encoding was given: later steps need not know it."""
    target = catalogue / goodbooks.plain_name(path)
    if encoding is None:
        shutil.copyfile(path, target)
    else:
        target.write_bytes(plain_text.read(path, encoding))


def _part(drops: DropsFolder, day: str) -> Path:
    return drops.ratings / f"ds={day}" / "part-0.parquet"


def _dated(rows: pl.DataFrame, day: str, settings: RowSettings) -> pl.DataFrame:
    midnight = settings.midnight(day)
    day_us = (settings.midnight(day, 1) - midnight) // timedelta(microseconds=1)
    start, count = int(rows[_PLACE][0]), _count(rows)
    index = pl.col(_PLACE) - start
    step_us = day_us // (count - start)
    return rows.select(
        pl.exclude(_PLACE),
        (pl.lit(midnight).dt.cast_time_unit("us") + pl.duration(microseconds=index * step_us))
        .cast(pl.Datetime("us", "UTC"))
        .alias(ARRIVED_AT),
        (index + start + 1).alias(SOURCE_ROW),
    )
