"""What was delivered before is not new data, and the newest row of a pair whatever the files."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.ingest import rejects

START = datetime(2026, 1, 1, tzinfo=UTC)


def _good(days: list[list[tuple[int, int, int]]], hour: int | None = None) -> pl.DataFrame:
    """Return judged rows (user, book, rating) of files named by day; at `hour`, else at midnight."""
    names = [str(day) for day in range(len(days))]
    rows = [
        (*row, START + timedelta(days=day, hours=hour or 0), place, str(day), place)
        for day, found in enumerate(days)
        for place, row in enumerate(found, 1)
    ]
    schema: dict[str, Any] = {"user_id": pl.Int32, "book_id": pl.Int32, "rating": pl.Int8}
    schema |= {"arrived_at": pl.Datetime("us", "UTC"), "source_row": pl.Int64}
    schema |= {"file": pl.Enum(names), "row": pl.Int32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _newest(accepted: pl.DataFrame) -> list[tuple[int, int, int, int]]:
    day = (pl.col("arrived_at") - START).dt.total_days().alias("day")
    return sorted(accepted.select("user_id", "book_id", "rating", day).rows())


@pytest.mark.parametrize(
    ("days", "newest", "before"),
    [
        ([[5], [5], [5]], [(5, 0)], 2),
        ([[5], [4], [5]], [(5, 2)], 0),
        ([[5], [4, 5], [5]], [(5, 0)], 3),
        ([[5, 3], [5, 3]], [(3, 0)], 2),
        ([[5, 5], [4], [4]], [(4, 1)], 1),
    ],
    ids=["the same", "changed back", "and back within a day", "a file of two ratings", "changed"],
)
def test_a_repeated_row_keeps_its_first_arrival(
    days: list[list[int]], newest: list[tuple[int, int]], before: int
) -> None:
    """One pair, its ratings by day: which rating stays, of which day, and how many rows are delivered_before."""
    good = _good([[(1, 1, rating) for rating in day] for day in days])
    accepted, dropped = rejects.resolve(good, tuple(good["file"].unique().cast(pl.String)))
    assert _newest(accepted) == [(1, 1, *found) for found in newest]
    assert dropped["reason"].to_list().count("delivered_before") == before
    assert accepted.height + dropped.height == good.height


def test_dated_rows_are_new_whatever_they_say() -> None:
    """A row that tells its own time arrived then."""
    accepted, dropped = rejects.resolve(_good([[(1, 1, 5)], [(1, 1, 5)]], hour=9))
    assert _newest(accepted) == [(1, 1, 5, 1)]
    assert dropped["reason"].to_list() == ["duplicate_row"]


def test_an_undated_row_after_a_dated_one_keeps_its_arrival() -> None:
    """A dump of the next day repeats what had arrived in time order."""
    good = _good([[(1, 1, 5)], [(1, 1, 5), (1, 2, 4)]])
    accepted, _ = rejects.resolve(good, ("1",))
    assert _newest(accepted) == [(1, 1, 5, 0), (1, 2, 4, 1)]


_ROW = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 3))


@given(st.lists(st.lists(_ROW, max_size=5), min_size=1, max_size=5))
def test_a_dictionary_that_is_told_day_by_day_holds_the_same(
    days: list[list[tuple[int, int, int]]],
) -> None:
    """Each day's last word on a pair enters a dictionary if it differs from what stands there; no row is lost."""
    held: dict[tuple[int, int], tuple[int, int]] = {}
    for number, day in enumerate(days):
        for pair, rating in {row[:2]: row[2] for row in day}.items():
            if held.get(pair, (0, 0))[0] != rating:
                held[pair] = (rating, number)
    good = _good(days)
    accepted, dropped = rejects.resolve(good, tuple(str(number) for number in range(len(days))))
    assert _newest(accepted) == sorted((*pair, *found) for pair, found in held.items())
    assert accepted.height + dropped.height == good.height


def test_the_last_file_by_name_wins_at_one_instant() -> None:
    """A correction in a later file of the day, whatever the numbers of the rows in their files."""
    good = _good([[(2, 2, 3), (1, 1, 1)], [(1, 1, 5)]])
    good = good.with_columns(arrived_at=pl.lit(START))
    accepted, dropped = rejects.resolve(good, ("0", "1"))
    assert accepted.select("user_id", "rating").rows() == [(2, 3), (1, 5)]
    assert dropped["reason"].to_list() == ["superseded"]
