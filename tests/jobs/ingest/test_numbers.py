"""Whole numbers in the forms that programs write."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from jobs.ingest import numbers

NAN = float("nan")


@pytest.mark.parametrize(
    ("cells", "kind", "expected"),
    [
        (["58", "58.0", " 58", "58 ", "58.", "58.000", "+58"], pl.String, [58] * 7),
        (
            ["\u00a058", " 58.0\r", "-58.0", "007", "2147483648.0"],
            pl.String,
            [58, 58, -58, 7, 2**31],
        ),
        (["4,0", "1_000", "1,000", "1 000", "5e0", "1.2E+09", "0x5"], pl.String, [None] * 7),
        (["4.5", "", "  ", ".", "nan", "inf", "٤", "99999999999999999999"], pl.String, [None] * 8),
        (
            [58.0, 4.5, NAN, float("inf"), 1e300, None],
            pl.Float64,
            [58, None, None, None, None, None],
        ),
        ([58.0, 4.5], pl.Float32, [58, None]),
        ([Decimal("58.00"), Decimal("4.50"), None], pl.Decimal(10, 2), [58, None, None]),
        (["58.0", " 4", None, "x"], pl.Categorical(), [58, 4, None, None]),
        ([58, None], pl.UInt16, [58, None]),
        ([2**64 - 1], pl.UInt64, [None]),
        ([None, None], pl.Null, [None, None]),
    ],
)
def test_what_is_a_whole_number(cells: list[Any], kind: Any, expected: list[int | None]) -> None:
    """Each alone, and beside plain numbers: the rarer forms are tried only on what is left."""
    assert numbers.whole(pl.Series(cells, dtype=kind)).to_list() == expected
    mixed = pl.Series([*cells, None], dtype=kind).reverse()
    assert numbers.whole(mixed).to_list() == [None, *expected[::-1]]
