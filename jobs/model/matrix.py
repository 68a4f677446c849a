"""Users and books as positions, ratings as a sparse matrix.

In: ids and weights of accepted rows. Out: sorted id tables and a CSR matrix. Guarantees that positions follow
ascending ids, so that "equal scores by book id" and "by position" mean the same.
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
        found = np.searchsorted(self.values, ids)
        if len(ids) and (
            found.max() >= len(self.values) or not np.array_equal(self.values[found], ids)
        ):
            raise KeyError("an id is not in the table")
        return found


def ids_of(values: NDArray[np.int32]) -> Ids:
    """Return the table of the distinct ids in `values`."""
    return Ids(np.unique(values).astype(np.int32))


def sparse(
    users: NDArray[np.int64],
    books: NDArray[np.int64],
    weights: NDArray[np.float32],
    shape: tuple[int, int],
) -> sp.csr_matrix:
    """Return a float32 CSR matrix of shape (users, books) with sorted indices; pairs must not repeat."""
    # implicit takes csr_matrix and rejects csr_array.
    matrix = sp.csr_matrix((weights.astype(np.float32), (users, books)), shape=shape)
    matrix.sort_indices()
    return matrix
