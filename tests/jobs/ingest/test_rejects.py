"""Each reason for which a row is dropped, and which row of a repeated pair is kept."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.ingest import rejects
from schemas import tables

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=2)
KNOWN = pl.Series([1, 2, 3])
CELLS = ("user_id", "book_id", "rating")


def _raw(rows: list[tuple[Any, Any, Any]], kind: Any = pl.String) -> pl.DataFrame:
    """Return rows that arrived a second apart, as a drop holds them."""
    return pl.DataFrame(rows, schema=dict.fromkeys(CELLS, kind), orient="row").with_columns(
        (pl.lit(START) + pl.duration(seconds=pl.int_range(pl.len()))).alias("arrived_at"),
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("source_row"),
        pl.lit("a").alias("file"),
        pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias("row"),
    )


def _reasons(raw: pl.DataFrame) -> list[str | None]:
    good, bad = rejects.split(raw, KNOWN, END)
    found: dict[int, str | None] = dict.fromkeys(good["row"].to_list())
    found.update(bad.select("row", "reason").rows())
    return [found[row] for row in range(1, raw.height + 1)]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (("1", "1", "5"), None),
        ((" 1", "1 ", "5"), None),
        (("007", "1", "5"), None),
        (("", "1", "5"), "null_value"),
        (("1", None, "5"), "null_value"),
        (("1", "1", "  "), "null_value"),
        (("x", "", "9"), "null_value"),
        (("x", "1", "5"), "not_an_integer"),
        (("1", "1", "4.5"), "not_an_integer"),
        (("1.0", " 1", "5.0"), None),
        (("1", "1", "5,0"), "not_an_integer"),
        (("1", "1", "5e0"), "not_an_integer"),
        (("1_000", "1", "5"), "not_an_integer"),
        (("2147483648.0", "1", "5"), "id_out_of_range"),
        (("99999999999999999999.0", "1", "5"), "id_out_of_range"),
        (("1", "0x1", "5"), "not_an_integer"),
        (("1e3", "1", "5"), "not_an_integer"),
        (("1", "1", "0"), "rating_out_of_range"),
        (("1", "1", "6"), "rating_out_of_range"),
        (("1", "1", "-1"), "rating_out_of_range"),
        (("1", "99", "6"), "rating_out_of_range"),
        (("1", "1", "99999999999999999999"), "rating_out_of_range"),
        (("0", "1", "5"), "id_out_of_range"),
        (("-4", "1", "5"), "id_out_of_range"),
        (("2147483647", "1", "5"), None),
        (("2147483648", "1", "5"), "id_out_of_range"),
        (("99999999999999999999", "1", "5"), "id_out_of_range"),
        (("1", "2147483648", "5"), "id_out_of_range"),
        (("1", "4", "5"), "unknown_book"),
    ],
)
def test_text_rows(cells: tuple[str | None, ...], reason: str | None) -> None:
    """One reason a row, the first of the documented order; blanks around a number do no harm."""
    row = (cells[0], cells[1], cells[2])
    # Alone and among good rows.
    assert _reasons(_raw([row])) == [reason]
    assert _reasons(_raw([("1", "1", "5"), row, ("1", "2", "5")])) == [None, reason, None]


@pytest.mark.parametrize("kind", [pl.Int64, pl.Int32, pl.UInt16])
def test_rows_of_whole_numbers(kind: Any) -> None:
    """A source that has types of its own is judged by the same rules."""
    raw = _raw([(1, 1, 5), (None, 1, 5), (1, 1, 6), (0, 1, 5), (1, 4, 5)], kind)
    assert _reasons(raw) == [
        None,
        "null_value",
        "rating_out_of_range",
        "id_out_of_range",
        "unknown_book",
    ]


def test_rows_of_numbers_with_a_fraction() -> None:
    """Whole numbers stored as floats are good, as pandas stores them beside a missing one."""
    nan, infinity = float("nan"), float("inf")
    rows = [(1, 1, 5), (1, 1, 4.5), (nan, 1, 5), (1, None, 5), (infinity, 1, 5), (1e12, 1, 5)]
    assert _reasons(_raw(rows, pl.Float64)) == [
        None,
        "not_an_integer",
        "null_value",
        "null_value",
        "not_an_integer",
        "id_out_of_range",
    ]


def test_when_a_row_arrived() -> None:
    """No time, no source row, a time after the drop's day: dropped; earlier than the day: fine."""
    raw = _raw([("1", "1", "5")] * 4).with_columns(
        pl.Series("arrived_at", [None, START, END, START - timedelta(days=400)]),
        pl.Series("source_row", [1, None, 3, 4]),
    )
    assert _reasons(raw) == ["null_value", "null_value", "arrived_after_its_day", None]


def test_rows_of_users_who_are_left_out() -> None:
    """They have a reason of their own, after those of bad rows, and are not bad."""
    rows = [("1", "1", "5"), ("2.0", "1", "5"), (" 2", "99", "5"), ("3", "1", "5")]
    good, bad = rejects.split(_raw(rows), KNOWN, END, (2, 3))
    assert good["row"].to_list() == [1]
    reasons = ["user_left_out", "unknown_book", "user_left_out"]
    assert bad["reason"].to_list() == reasons
    assert not rejects.too_many({"user_left_out": 100}, 100, 0.05)


def test_what_is_told_of_a_bad_row() -> None:
    """File, row, reason, and the cells as they came."""
    _, bad = rejects.split(_raw([("1", "1", "5"), ("x", None, "5")]), KNOWN, END)
    assert bad.columns == tables.REJECTS.names
    assert bad.rows() == [("a", 2, "null_value", "x,,5")]


def test_a_good_row_is_stored_small() -> None:
    """int32 ids and an int8 rating, and everything else as it came."""
    good, bad = rejects.split(_raw([("7", "2", "4")]), KNOWN, END)
    assert bad.is_empty()
    assert [good.schema[cell] for cell in CELLS] == [pl.Int32, pl.Int32, pl.Int8]
    assert good.row(0) == (7, 2, 4, START, 1, "a", 1)


def _good(rows: list[tuple[int, int, int, int, int]]) -> pl.DataFrame:
    """Return judged rows of (user, book, rating, second, source row)."""
    schema = {
        "user_id": pl.Int32,
        "book_id": pl.Int32,
        "rating": pl.Int8,
        "second": pl.Int64,
        "source_row": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").select(
        *CELLS,
        (pl.lit(START) + pl.duration(seconds=pl.col("second"))).alias("arrived_at"),
        "source_row",
        pl.lit("a").alias("file"),
        pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias("row"),
    )


@pytest.mark.parametrize(
    ("ratings", "reasons"),
    [
        ([5, 5], ["duplicate_row"]),
        ([5, 3], ["superseded"]),
        ([5, 3, 5], ["duplicate_row", "superseded"]),
        ([3, 3, 5], ["duplicate_row", "superseded"]),
        ([1, 2, 3, 3], ["superseded", "superseded", "duplicate_row"]),
    ],
)
def test_why_an_earlier_row_of_a_pair_goes(ratings: list[int], reasons: list[str]) -> None:
    """A duplicate if the same rating comes again later, else superseded; the last row stays."""
    rows = [(1, 1, rating, second, second) for second, rating in enumerate(ratings)]
    accepted, dropped = rejects.resolve(_good(rows))
    assert accepted["rating"].to_list() == ratings[-1:]
    assert dropped.sort("row")["reason"].to_list() == reasons
    assert dropped.sort("row")["row"].to_list() == list(range(1, len(ratings)))


def test_the_newest_is_told_by_arrival_then_by_source_row() -> None:
    """Rows in no order: the later second wins, and within a second the greater source row."""
    rows = [(1, 1, 5, 9, 1), (1, 1, 4, 2, 8), (2, 1, 3, 4, 7), (2, 1, 2, 4, 6)]
    accepted, _ = rejects.resolve(_good(rows))
    assert accepted.select("user_id", "rating").rows() == [(2, 3), (1, 5)]


_ROW = st.tuples(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(0, 4), st.integers(1, 4)
)


@given(st.lists(_ROW))
def test_every_row_is_kept_or_told(rows: list[tuple[int, int, int, int, int]]) -> None:
    """The rows stay that a dictionary holds when filled in order of arrival; every other row has its reason."""
    by_arrival = sorted(enumerate(rows, 1), key=lambda entry: (entry[1][3], entry[1][4], entry[0]))
    newest = {row[:2]: number for number, row in by_arrival}
    reasons = {}
    for place, (number, row) in enumerate(by_arrival):
        again = any(later[:3] == row[:3] for _, later in by_arrival[place + 1 :])
        if newest[row[:2]] != number:
            reasons[number] = "duplicate_row" if again else "superseded"
    accepted, dropped = rejects.resolve(_good(rows))
    stay = [row[:3] for number, row in by_arrival if number not in reasons]
    assert accepted.select(CELLS).rows() == stay
    assert dict(dropped.select("row", "reason").rows()) == reasons


def test_repeats_are_not_bad() -> None:
    """Exactly the allowed share of bad rows passes, one more does not, and repeats never count."""
    counts = {"unknown_book": 3, "null_value": 2, "duplicate_row": 90, "superseded": 5}
    assert not rejects.too_many(counts, 100, 0.05)
    assert rejects.too_many({**counts, "null_value": 3}, 100, 0.05)
