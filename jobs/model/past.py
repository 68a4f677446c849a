"""Accepted rows up to a moment, as positions: what candidates, features and the ranker are made from.

In: users, items and ratings in order of arrival. Out: `Past`. The age of a row is the number of rows after it; the
moment is the number of rows, so that nothing here depends on a calendar.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model import matrix
from jobs.model.matrix import Pairs


@dataclass(frozen=True)
class Past:
    """Rows in order of arrival: positions of `items` (rows,), `ratings` (rows,), and their order by user in `pairs`."""

    items: NDArray[np.int64]
    ratings: NDArray[np.int8]
    pairs: Pairs

    @property
    def rows(self) -> int:
        """The moment: how many rows have arrived."""
        return len(self.items)

    @cached_property
    def rated(self) -> sp.csr_matrix:
        """Every rated pair (users, items), whatever the rating; a row's entries are in order of arrival."""
        return self.pairs.matrix(np.ones(self.rows, dtype=np.float32))

    @cached_property
    def later(self) -> NDArray[np.float32]:
        """How many ratings its user gave after each pair (rows,), in the order of `pairs`."""
        return self.pairs.later


def past_of(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    ratings: NDArray[np.int8],
    shape: tuple[int, int],
) -> Past:
    """Return the past of rows (rows,) in order of arrival, given as positions; a (user, item) must not repeat."""
    return Past(items, ratings, matrix.pairs_of(users, items, shape))
