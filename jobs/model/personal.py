"""The best books of each reader: their own score, times a power of what is read lately.

In: vectors of users and books, what each has rated, recent popularity. Out: positions and scores. Guarantees that
the lists of a release and the lists that are evaluated come from this one place; a user without a vector, or whose
vector says nothing of any book, gets what is read lately, less what they have rated.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model import popularity, scoring
from jobs.model.als import Factors
from jobs.model.settings import ModelSettings


@dataclass(frozen=True)
class Personal:
    """`found` holds a row a user; `own` (users,) tells whose row comes from an own vector."""

    found: scoring.Best
    own: NDArray[np.bool_]


def best(
    vectors: Factors,
    rated: sp.csr_matrix,
    popular: NDArray[np.float64],
    settings: ModelSettings,
    limit: int,
    *,
    threads: int | None = None,
) -> Personal:
    """Return the `limit` best books of each reader.

    Args:
        vectors: (users, factors) and (books, factors).
        rated: (users, books); the stored entries are left out.
        popular: (books,), recent popularity, the greatest being 1 (`popularity.weights`).
        settings: exponent and floor of the popularity are used.
        limit: how many books a user gets at most.
        threads: worker threads; None for all processors. It does not change the result.
    """
    multiplier = popularity.multiplier(
        popular, settings.popularity_exponent, settings.popularity_floor
    )
    found = scoring.best(
        vectors.users, vectors.books, rated, limit, multiplier=multiplier, threads=threads
    )
    # Of books that nobody else has read EASE knows nothing: every score is 0.
    own = vectors.known & (found.scores.any(axis=1) | (found.counts == 0))
    without = np.flatnonzero(~own)
    if len(without):
        common = most_read(popular, rated[without], limit, threads)
        found.positions[without] = common.positions
        found.scores[without] = common.scores
        found.counts[without] = common.counts
    return Personal(found, own)


def most_read(
    popular: NDArray[np.float64], rated: sp.csr_matrix, limit: int, threads: int | None = None
) -> scoring.Best:
    """Return the `limit` books with the greatest `popular` (books,) that each reader of `rated` has not rated."""
    ones = np.ones((rated.shape[0], 1), dtype=np.float32)
    return scoring.best(ones, popular.astype(np.float32)[:, None], rated, limit, threads=threads)
