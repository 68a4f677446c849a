"""Repeated pairs, against a dictionary filled row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from jobs.ingest.pairs import repeats

SMALL = st.integers(0, 6)
#: Beside these, ids and row numbers do not fit 64 bits.
LARGE = st.sampled_from([1, 2, 2**31 - 2, 2**31 - 1])


def _by_hand(users: list[int], books: list[int]) -> set[tuple[int, int]]:
    last: dict[tuple[int, int], int] = {}
    found = set()
    for row, pair in enumerate(zip(users, books, strict=True)):
        if pair in last:
            found.add((last[pair], row))
        last[pair] = row
    return found


@given(st.lists(st.tuples(SMALL, SMALL)) | st.lists(st.tuples(LARGE, LARGE)))
def test_each_row_stands_beside_the_next_of_its_pair(pairs: list[tuple[int, int]]) -> None:
    """The same repeats as found one row at a time, for small ids and for the greatest."""
    users, books = [user for user, _ in pairs], [book for _, book in pairs]
    earlier, later = repeats(np.array(users, dtype=np.int32), np.array(books, dtype=np.int32))
    assert set(zip(earlier.tolist(), later.tolist(), strict=True)) == _by_hand(users, books)
    assert len(earlier) == len(_by_hand(users, books))


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint64])
def test_any_whole_numbers_will_do(kind: type) -> None:
    """One pair three times: rows 0, 2 and 3."""
    users: NDArray[np.integer] = np.array([5, 5, 5, 5], dtype=kind)
    books: NDArray[np.integer] = np.array([1, 2, 1, 1], dtype=kind)
    earlier, later = repeats(users, books)
    assert (earlier.tolist(), later.tolist()) == ([0, 2], [2, 3])


def test_large_ids_with_many_rows_take_the_other_way() -> None:
    """Ids near 2**31 leave no room for row numbers in one key; the answer is the same."""
    users = np.full(6, 2**31 - 1, dtype=np.int32)
    books = np.array([2**31 - 1, 7, 2**31 - 1, 7, 8, 7], dtype=np.int32)
    earlier, later = repeats(users, books)
    assert sorted(zip(earlier.tolist(), later.tolist(), strict=True)) == [(0, 2), (1, 3), (3, 5)]
