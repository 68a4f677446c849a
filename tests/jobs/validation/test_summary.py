"""Lists in numbers, against a plain loop over Python lists."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.validation import summary
from schemas.tables import BOOK_IDS, SCORES

KNOWN = np.arange(1, 6, dtype=np.int32)

entry = st.tuples(
    st.integers(0, 7), st.sampled_from([0.0, 0.5, 1.0, -1.0, math.inf, -math.inf, math.nan])
)


def table(lists: list[list[tuple[int, float]]]) -> pa.Table:
    """Return a table of lists of (book, score)."""
    return pa.table(
        {
            BOOK_IDS: pa.array([[b for b, _ in one] for one in lists], pa.list_(pa.int32())),
            SCORES: pa.array([[s for _, s in one] for one in lists], pa.list_(pa.float32())),
        }
    )


def by_hand(one: list[tuple[int, float]]) -> dict[str, int]:
    """Return the summary of one list, entry by entry."""
    books = [book for book, _ in one]
    pairs = [(one[i - 1], one[i]) for i in range(1, len(one))]
    return {
        summary.LENGTH: len(one),
        summary.OTHER_LENGTH: 0,
        summary.REPEATS: len(books) - len(set(books)),
        summary.UNKNOWN_BOOKS: sum(book not in {1, 2, 3, 4, 5} for book in books),
        summary.OUT_OF_ORDER: sum(
            after[1] > before[1] or (after[1] == before[1] and after[0] <= before[0])
            for before, after in pairs
        ),
        summary.BAD_SCORES: sum(not math.isfinite(score) for _, score in one),
    }


@given(st.lists(st.lists(entry, max_size=6), max_size=5))
def test_the_summary_is_that_of_a_plain_loop(lists: list[list[tuple[int, float]]]) -> None:
    """Every count of every list is what looking at one entry after the other gives; lists may be empty."""
    frame = summary.of(summary.entries(table(lists)), KNOWN)
    assert frame.to_dict("records") == [by_hand(one) for one in lists]


def test_a_sliced_table_is_read_from_its_own_rows() -> None:
    """Chunks and slices of a table do not mix up which entry belongs to which list."""
    lists = [[(1, 1.0)], [(2, 1.0), (2, 0.5)], [(3, 1.0), (9, 0.5)]]
    joined = pa.concat_tables([table(lists[:2]), table(lists[2:])]).slice(1)
    frame = summary.of(summary.entries(joined), KNOWN)
    assert frame.to_dict("records") == [by_hand(one) for one in lists[1:]]


@pytest.mark.parametrize(
    ("lists", "share"),
    [
        ([], 0.0),
        ([[1, 2], [2, 1], [1, 2, 3], [2]], 0.25),
        ([[1, 2], [1, 2], [2, 1], [1, 2]], 0.75),
        ([[], [], [1]], 2 / 3),
    ],
)
def test_the_share_of_the_most_common_list(lists: list[list[int]], share: float) -> None:
    """Lists are the same when they hold the same books in the same order."""
    scored = [[(book, 1.0) for book in one] for one in lists]
    assert summary.most_common_share(summary.entries(table(scored))) == share
