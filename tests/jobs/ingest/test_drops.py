"""Dated drops of a source with dates and types of its own, and drops that cannot be used."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from jobs.ingest import days, drops, rejects
from jobs.runtime.artifacts import DropsFolder
from jobs.runtime.errors import BrokenInput, NothingToDo

DAY = "2026-01-02"
ROWS = pl.DataFrame({"user_id": [1, 2], "book_id": [7, 8], "rating": [5, 3]})


def _land(root: Path, frame: pl.DataFrame, day: str = DAY, name: str = "part-0") -> DropsFolder:
    path = root / "ratings" / f"ds={day}" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return DropsFolder(root)


def _read(source: DropsFolder, partition: str = DAY) -> pl.DataFrame:
    found = days.up_to(source, partition, unchanged_ok=False).drops
    files = drops.of_files(found)
    return pl.concat([batch for drop in found for batch in drops.batches(drop, files)])


def test_three_columns_suffice(tmp_path: Path) -> None:
    """Without arrived_at rows arrive at their day's midnight (UTC); without source_row they are counted."""
    rows = _read(_land(tmp_path, ROWS))
    assert rows["arrived_at"].to_list() == [datetime(2026, 1, 2, tzinfo=UTC)] * 2
    assert rows["source_row"].to_list() == [1, 2]
    assert rows["file"].to_list() == [f"ratings/ds={DAY}/part-0.parquet"] * 2


@pytest.mark.parametrize(
    "kind", [pl.String, pl.Float64, pl.Float32, pl.Decimal(12, 2), pl.Categorical(), pl.UInt8]
)
def test_names_and_numbers_as_other_programs_write_them(tmp_path: Path, kind: pl.DataType) -> None:
    """Column names in any case with spaces, numbers as text, floats, decimals or a dictionary."""
    text = pl.all().cast(pl.String)
    written = ROWS.select(text.cast(kind) if kind != pl.String else text + ".0")
    written = written.with_columns(Source_Row=pl.Series([4.0, 2.0]))
    written = written.rename({"user_id": "User_ID", "book_id": " BOOK_ID "})
    rows = _read(_land(tmp_path, written))
    good, _ = rejects.split(rows, pl.Series([7, 8]), datetime(2026, 1, 4, tzinfo=UTC))
    assert good.select("user_id", "book_id", "rating").rows() == ROWS.rows()
    assert good["source_row"].to_list() == [4, 2]
    assert days.seen(DropsFolder(tmp_path), DAY)[0].lacks == ()


def test_times_of_the_source_are_kept(tmp_path: Path) -> None:
    """A zone is turned into UTC; a time without one is UTC; a date is its midnight."""
    noon = datetime(2026, 1, 2, 12)  # noqa: DTZ001  # a time without a zone
    berlin = noon.replace(tzinfo=timezone(timedelta(hours=1))).astimezone(UTC)
    for value, expected in (
        (noon, datetime(2026, 1, 2, 12, tzinfo=UTC)),
        (berlin, datetime(2026, 1, 2, 11, tzinfo=UTC)),
        (noon.date(), datetime(2026, 1, 2, tzinfo=UTC)),
    ):
        source = _land(tmp_path, ROWS.with_columns(pl.Series("arrived_at", [value, value])))
        assert _read(source)["arrived_at"].to_list() == [expected] * 2


def test_a_zone_other_than_utc_is_converted(tmp_path: Path) -> None:
    """Noon in Berlin in winter is eleven o'clock UTC, whatever the precision of the column."""
    at = pl.datetime(2026, 1, 2, 12, time_zone="Europe/Berlin", time_unit="ns")
    rows = _read(_land(tmp_path, ROWS.with_columns(at.alias("arrived_at"))))
    assert rows["arrived_at"].to_list() == [datetime(2026, 1, 2, 11, tzinfo=UTC)] * 2


def test_days_and_files_come_in_their_order(tmp_path: Path) -> None:
    """By day, then by file name; rows count anew in each file; later days are not read."""
    _land(tmp_path, ROWS, "2026-01-10")
    _land(tmp_path, ROWS, "2026-01-09", "b")
    _land(tmp_path, ROWS, "2026-01-09", "a")
    source = _land(tmp_path, ROWS, "2026-01-11")
    rows = _read(source, "2026-01-10")
    assert rows["file"].unique(maintain_order=True).to_list() == [
        "ratings/ds=2026-01-09/a.parquet",
        "ratings/ds=2026-01-09/b.parquet",
        "ratings/ds=2026-01-10/part-0.parquet",
    ]
    assert rows["row"].to_list() == [1, 2, 1, 2, 1, 2]


def test_a_drop_of_many_batches_is_counted_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row numbers go on from one batch to the next."""
    monkeypatch.setattr(drops, "_BATCH_ROWS", 3)
    frame = pl.DataFrame({name: range(8) for name in days.REQUIRED})
    rows = _read(_land(tmp_path, frame))
    assert rows["row"].to_list() == rows["source_row"].to_list() == list(range(1, 9))
    assert rows["user_id"].to_list() == list(range(8))


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (ROWS.head(0), "is empty"),
        (ROWS.drop("rating"), "no column rating"),
        (ROWS.rename({"book_id": "item"}), "no column book_id"),
        (ROWS.with_columns(arrived_at=pl.lit("2026-01-02")), "arrived_at"),
        (ROWS.with_columns(source_row=pl.lit("one")), "source_row"),
        (ROWS.with_columns(rating=pl.lit(value=True)), "rating"),
        (ROWS.with_columns(user_id=pl.lit([1])), "user_id"),
        (ROWS.with_columns(pl.col("rating").alias("Rating ")), "the column rating"),
    ],
    ids=["empty", "missing", "renamed", "text time", "text row", "truth", "list", "twice"],
)
def test_a_drop_that_cannot_be_used_is_named(
    tmp_path: Path, frame: pl.DataFrame, what: str
) -> None:
    """What is wrong, and the file."""
    source = _land(tmp_path, frame)
    with pytest.raises(BrokenInput) as refused:
        _read(source)
    assert what in refused.value.what
    assert refused.value.where.endswith(f"ds={DAY}/part-0.parquet")


@pytest.mark.parametrize("damage", ["no end", "no middle", "no head"])
def test_a_damaged_drop_is_named(tmp_path: Path, damage: str) -> None:
    """Cut off at the end, or broken in the middle where only reading the rows shows it."""
    frame = pl.DataFrame({name: [str(n * 7919) for n in range(5000)] for name in days.REQUIRED})
    source = _land(tmp_path, frame)
    path = source.ratings / f"ds={DAY}" / "part-0.parquet"
    whole = path.read_bytes()
    path.write_bytes(
        {
            "no end": whole[:-30],
            "no middle": whole[:60] + bytes(3000) + whole[3060:],
            "no head": whole[:100],
        }[damage]
    )
    with pytest.raises(BrokenInput, match="truncated parquet file") as refused:
        _read(source)
    assert refused.value.where == str(path)


@pytest.mark.parametrize("name", ["ds=2026-1-3", "ds=20260103", "ds=2026-02-30", "ds=latest"])
def test_a_folder_that_names_no_day_is_told(tmp_path: Path, name: str) -> None:
    """A misspelt day would be read on the wrong day or never."""
    source = _land(tmp_path, ROWS)
    (source.ratings / name).mkdir()
    with pytest.raises(BrokenInput, match=name):
        days.up_to(source, DAY, unchanged_ok=False)


def test_which_days_there_are(tmp_path: Path) -> None:
    """No drop at all, none that early, none on the day itself, and an empty folder for the day."""
    with pytest.raises(BrokenInput, match="there are no drops"):
        days.up_to(DropsFolder(tmp_path), DAY, unchanged_ok=False)
    source = _land(tmp_path, ROWS)
    with pytest.raises(BrokenInput, match="older than the first drop"):
        days.up_to(source, "2026-01-01", unchanged_ok=True)
    (source.ratings / "ds=2026-01-03").mkdir()
    with pytest.raises(NothingToDo, match="2026-01-02"):
        days.up_to(source, "2026-01-03", unchanged_ok=False)
    assert len(days.up_to(source, "2026-01-03", unchanged_ok=True).drops) == 1
