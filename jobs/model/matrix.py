"""Users and books as positions, ratings as sparse matrices.

In: ids of accepted rows in order of arrival. Out: sorted id tables, and what CSR matrices of these rows share.
Guarantees that positions follow ascending ids, so that "equal scores by book id" and "by position" mean the same.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ids:
    """Ascending, unique ids; an id's position is its place in `values` (int32)."""

    values: NDArray[np.int32]

    def positions(self, ids: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the positions of ids. Raises KeyError when one is not in the table."""
        if not len(ids):
            return np.empty(0, dtype=np.int64)
        if not len(self.values) or ids.min() < self.values[0] or ids.max() > self.values[-1]:
            raise KeyError("an id is not in the table")
        if self.values[0] < 0 or self.values[-1] > 4 * len(ids):
            found = np.searchsorted(self.values, ids)
            missing = not np.array_equal(self.values[found], ids)
        else:
            # No larger than the ids themselves: 6 million in 0.04 s, where a binary search takes 0.5 s.
            table = np.full(int(self.values[-1]) + 1, -1, dtype=np.int64)
            table[self.values] = np.arange(len(self.values))
            found = table[ids]
            missing = bool(found.min() < 0)
        if missing:
            raise KeyError("an id is not in the table")
        return found


def ids_of(values: NDArray[np.int32]) -> Ids:
    """Return the table of the distinct ids in `values`."""
    if not len(values) or values.min() < 0 or values.max() > 4 * len(values):
        return Ids(np.unique(values).astype(np.int32))
    # 6 million ids in 0.03 s, np.unique takes 0.4 s.
    return Ids(np.flatnonzero(np.bincount(values)).astype(np.int32))


@dataclass(frozen=True)
class Pairs:
    """Rated pairs by user, and of a user in order of arrival: what all CSR matrices over the same rows share.

    `order` (pairs,) is each pair's row, `books` (pairs,) its book's position; the pairs of user u stand from
    `starts[u]` up to `starts[u + 1]`. `shape` is (users, books).
    """

    order: NDArray[np.int32]
    books: NDArray[np.int32]
    starts: NDArray[np.int32]
    shape: tuple[int, int]

    @property
    def later(self) -> NDArray[np.float32]:
        """How many ratings its user gave after each pair (pairs,)."""
        ends = np.repeat(self.starts[1:], np.diff(self.starts))
        return (ends - 1 - np.arange(len(ends), dtype=np.int32)).astype(np.float32)

    def matrix(self, values: NDArray[np.float32]) -> sp.csr_matrix:
        """Return the float32 matrix of `values` (pairs,) without zeros; a row's indices are in order of arrival."""
        # implicit takes csr_matrix and rejects csr_array.
        found = sp.csr_matrix((values, self.books, self.starts), shape=self.shape, dtype=np.float32)
        if not values.all():
            found = found.copy()  # what follows moves the indices, which other matrices share
            found.eliminate_zeros()
        return found


def pairs_of(users: NDArray[np.int64], books: NDArray[np.int64], shape: tuple[int, int]) -> Pairs:
    """Return the pairs of rows in order of arrival, given as positions (rows,); a pair must not repeat."""
    rows = len(users)
    # One entry a row, turned: scipy counts instead of sorting (6 million rows: 0.1 s, a stable argsort takes 0.6 s).
    one_a_row = (np.ones(rows, dtype=np.int8), users.astype(np.int32), np.arange(rows + 1))
    turned = sp.csr_matrix(one_a_row, shape=(rows, shape[0])).tocsc()
    order = turned.indices
    return Pairs(order, books.astype(np.int32)[order], turned.indptr, shape)
