"""Ranked lists as one matrix: what every evaluation is computed from.

In: lists of a release, or scores of a baseline. Out: `Ranked`, books by rank a user. Guarantees one form for
candidates, references and baselines, so that all are measured by the same code; a place without a book is -1.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from jobs.runtime import list_column
from schemas import tables

NO_BOOK = -1

Ids = np.ndarray[tuple[int], np.dtype[np.int32]]
IdMatrix = np.ndarray[tuple[int, int], np.dtype[np.int32]]


@dataclass(frozen=True)
class Ranked:
    """Lists best first: `user_ids` (n,) ascending, `book_ids` (n, depth), `fallback` (depth,) for all others."""

    user_ids: Ids
    book_ids: IdMatrix
    fallback: Ids

    def of(self, user_ids: Ids) -> IdMatrix:
        """Return the lists of `user_ids` (m,) as (m, depth); users without a list get the fallback."""
        if not len(self.user_ids):
            return np.tile(self.fallback, (len(user_ids), 1))
        place = np.searchsorted(self.user_ids, user_ids).clip(max=len(self.user_ids) - 1)
        known = self.user_ids[place] == user_ids
        return np.where(known[:, None], self.book_ids[place], self.fallback[None, :])


def padded(lists: pa.ChunkedArray, depth: int) -> IdMatrix:
    """Return a column of lists of ids as (n, depth), cut or filled up with `NO_BOOK`."""
    values, lengths = list_column.flat(lists)
    starts = np.cumsum(lengths) - lengths
    ranks = np.arange(len(values)) - np.repeat(starts, lengths)
    result = np.full((len(lengths), depth), NO_BOOK, dtype=np.int32)
    within = ranks < depth
    result[np.repeat(np.arange(len(lengths)), lengths)[within], ranks[within]] = values[within]
    return result


def from_tables(lists: pa.Table, popularity: pa.Table, depth: int) -> Ranked:
    """Return the lists (`tables.LISTS`) and the fallback (`tables.POPULARITY`, all books) of a release."""
    everyone = popularity.filter(pa.compute.equal(popularity[tables.TAG], tables.ALL_BOOKS))
    fallback = (
        padded(everyone[tables.BOOK_IDS], depth)[0]
        if everyone.num_rows
        else np.full(depth, NO_BOOK, np.int32)
    )
    return Ranked(
        np.asarray(lists[tables.USER_ID], dtype=np.int32),
        padded(lists[tables.BOOK_IDS], depth),
        fallback,
    )
