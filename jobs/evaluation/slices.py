"""Cuts in global time order: what was known, and what came next.

In: interactions in order of arrival. Out: `Slice`s. Guarantees that nothing which arrived at
or after a cut is in its history. A cut is a number of rows, one for all users: leaving out each user's own
last book would let the model learn from other people's later ratings.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from jobs.evaluation.ranked import Ids
from schemas import tables

Counts = np.ndarray[tuple[int], np.dtype[np.int64]]
Keys = np.ndarray[tuple[int], np.dtype[np.int64]]


def pack(user_ids: np.ndarray, book_ids: np.ndarray) -> Keys:
    """Return one 64-bit key a pair: the user in the upper, the book in the lower half."""
    return (user_ids.astype(np.int64) << 32) | book_ids.astype(np.int64)


@dataclass(frozen=True)
class Slice:
    """One origin: `history` is all rows before it; `relevant` the liked pairs of the slice after it.

    `case_ids` are the users with something relevant, ascending; `history_lengths` the number of ratings
    each had before. `book_ids` are all books of the history, ascending, `book_counts` their ratings;
    `catalogue` are all books that could be recommended, `read` the pairs of the history.
    """

    history: pa.Table
    rows: int
    relevant: Keys
    case_ids: Ids
    history_lengths: Counts
    book_ids: Ids
    book_counts: Counts
    known_users: int
    catalogue: Ids
    read: Keys


def cut(
    interactions: pa.Table, catalogue: Ids, before: int, rows: int, positive_from: int
) -> Slice:
    """Return the slice that predicts rows [before, before + rows) from the rows before them."""
    history = interactions.slice(0, before)
    future = interactions.slice(before, rows)
    user_ids = np.asarray(future[tables.USER_ID], dtype=np.int32)
    liked = np.asarray(future[tables.RATING]) >= positive_from
    relevant = np.unique(
        pack(user_ids[liked], np.asarray(future[tables.BOOK_ID], dtype=np.int32)[liked])
    )
    case_ids = np.unique((relevant >> 32).astype(np.int32))
    known, lengths = np.unique(
        np.asarray(history[tables.USER_ID], dtype=np.int32), return_counts=True
    )
    books, counts = np.unique(
        np.asarray(history[tables.BOOK_ID], dtype=np.int32), return_counts=True
    )
    return Slice(
        history=history,
        rows=future.num_rows,
        relevant=relevant,
        case_ids=case_ids,
        history_lengths=lookup(known, lengths, case_ids),
        book_ids=books,
        book_counts=counts,
        known_users=len(known),
        catalogue=catalogue,
        read=np.sort(
            pack(
                np.asarray(history[tables.USER_ID], dtype=np.int32),
                np.asarray(history[tables.BOOK_ID], dtype=np.int32),
            )
        ),
    )


def newest(
    interactions: pa.Table, catalogue: Ids, slices: int, share: float, positive_from: int
) -> list[Slice]:
    """Return the newest `slices` slices of `share` of all rows each, oldest first, without overlap.

    A slice without history or without a row is left out, so that a small table gives fewer.
    """
    total = interactions.num_rows
    size = max(1, round(total * share))
    starts = [total - size * back for back in range(slices, 0, -1)]
    return [
        cut(interactions, catalogue, start, size, positive_from) for start in starts if start > 0
    ]


def at_shares(
    interactions: pa.Table,
    catalogue: Ids,
    shares: tuple[float, ...],
    width: float,
    positive_from: int,
) -> list[Slice]:
    """Return the slice after each share of the rows, `width` of all rows wide."""
    total = interactions.num_rows
    edges = [(round(total * share), round(total * (share + width))) for share in shares]
    return [
        cut(interactions, catalogue, start, end - start, positive_from)
        for start, end in edges
        if start > 0
    ]


def lookup(ids: Ids, values: Counts, wanted: np.ndarray) -> Counts:
    """Return `values` (n,) of ascending `ids` (n,) at `wanted`, in its shape; 0 where an id is not there."""
    if not len(ids):
        return np.zeros(wanted.shape, dtype=np.int64)
    place = np.searchsorted(ids, wanted).clip(max=len(ids) - 1)
    return np.where(ids[place] == wanted, values[place], 0)
