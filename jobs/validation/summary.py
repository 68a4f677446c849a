"""Lists of books in numbers: one row a list, so that a suite can validate 5 million entries in seconds.

In: a table with BOOK_IDS and SCORES columns. Out: a frame with one row a list, each column a count of what is wrong
with it. Guarantees that every entry is looked at, without a Python object an entry.

    length           books in the list
    other_length     1 where there are more or fewer scores than books
    repeats          books that stand in the list more than once, each further time
    unknown_books    books that are not in the catalogue
    out_of_order     books that score higher than the one above, or the same with a smaller id
    bad_scores       scores that are no finite number
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from jobs.runtime import list_column
from schemas.tables import BOOK_IDS, SCORES

LENGTH = "length"
OTHER_LENGTH = "other_length"
REPEATS = "repeats"
UNKNOWN_BOOKS = "unknown_books"
OUT_OF_ORDER = "out_of_order"
BAD_SCORES = "bad_scores"

_BOOK_BITS = 32


@dataclass(frozen=True)
class Entries:
    """The entries of all lists in a row: entry i belongs to list `owners[i]`."""

    lengths: NDArray[np.int64]
    owners: NDArray[np.int64]
    books: NDArray[np.int32]
    scores: NDArray[np.float32]
    score_lengths: NDArray[np.int64]

    def count(self, wrong: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return how many entries of each list are `wrong` (bool, one an entry)."""
        return np.bincount(self.owners[wrong], minlength=len(self.lengths))


def entries(table: pa.Table) -> Entries:
    """Return the entries of a table's lists, which must have no nulls."""
    books, book_lengths = list_column.flat(table[BOOK_IDS])
    scores, score_lengths = list_column.flat(table[SCORES])
    owners = np.repeat(np.arange(len(book_lengths)), book_lengths)
    return Entries(book_lengths, owners, books, scores, score_lengths)


def of(found: Entries, known_books: NDArray[np.int32]) -> pd.DataFrame:
    """Return the summary of lists; `known_books` are the catalogue's ids."""
    other_length = found.lengths != found.score_lengths
    rank_is_wrong, score_is_bad = (
        (np.zeros(len(found.books), bool),) * 2
        if other_length.any()  # which score is whose cannot be known
        else (_rank_is_wrong(found), ~np.isfinite(found.scores))
    )
    return pd.DataFrame(
        {
            LENGTH: found.lengths,
            OTHER_LENGTH: other_length.astype(np.int64),
            REPEATS: _repeats(found),
            UNKNOWN_BOOKS: found.count(~np.isin(found.books, known_books)),
            OUT_OF_ORDER: found.count(rank_is_wrong),
            BAD_SCORES: found.count(score_is_bad),
        }
    )


def pairs(owners: NDArray[np.integer[Any]], books: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return one number for each (owner, book); both fit 32 bits and are not negative in good tables."""
    return owners.astype(np.int64) << _BOOK_BITS | books.astype(np.int64) & 0xFFFFFFFF


def most_common_share(found: Entries) -> float:
    """Return the share of lists that equal the most common list, books and order; 0 for no lists.

    Lists are distinguished by a 64-bit sum of random numbers, one for each (rank, book): equal lists have equal sums,
    and two different ones of 100,000 collide with a probability of 3e-10 (birthday bound).
    """
    if not len(found.lengths):
        return 0.0
    starts = np.cumsum(found.lengths) - found.lengths
    ranks = (np.arange(len(found.books)) - starts[found.owners]).astype(np.uint64)
    mixed = _mixed(ranks << np.uint64(_BOOK_BITS) | found.books.astype(np.uint32))
    sums = np.zeros(len(found.lengths), dtype=np.uint64)
    filled = found.lengths > 0
    if filled.any():
        sums[filled] = np.add.reduceat(mixed, starts[filled])
    return float(np.unique(sums, return_counts=True)[1].max() / len(sums))


def _repeats(found: Entries) -> NDArray[np.int64]:
    keys = pairs(found.owners, found.books)
    keys.sort()
    repeated = np.flatnonzero(keys[1:] == keys[:-1])
    return np.bincount(keys[repeated] >> _BOOK_BITS, minlength=len(found.lengths))


def _rank_is_wrong(found: Entries) -> NDArray[np.bool_]:
    wrong = np.zeros(len(found.books), dtype=bool)
    same_list = found.owners[1:] == found.owners[:-1]
    rises = found.scores[1:] > found.scores[:-1]
    ties = (found.scores[1:] == found.scores[:-1]) & (found.books[1:] <= found.books[:-1])
    wrong[1:] = same_list & (rises | ties)
    return wrong


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a well-mixed 64-bit number of each (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
