"""How much each rating counts: less with age, less when it is low, most when it is the reader's last.

In: accepted rows in order of arrival. Out: sparse matrices of confidences for the fit and for the readers' own vectors.
Guarantees that ages are shares of all rows or counts of a reader's own rows, never ids, dates or row numbers, so
that a setting means the same for any amount of data; and that every rated pair of a weight above 0 is stored.

A stored confidence near 0 is not the same as none: it takes the pair out of the loss, while a pair that is not
stored is an unread book with confidence 1. What was read long ago is thus neither liked nor disliked today.
"""

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model import matrix
from jobs.model.popularity import recency
from jobs.model.settings import ModelSettings
from schemas.tables import BOOK_ID, RATING, USER_ID

#: What is stored at least, so that no rated pair becomes an unread one by rounding.
_LEAST = 1e-4


def training(
    rows: pl.DataFrame, users: matrix.Ids, books: matrix.Ids, settings: ModelSettings
) -> sp.csr_matrix:
    """Return the (users, books) confidences of the fit: `alpha`, by rating, halved with each half-life of age."""
    weights = _by_rating(rows, settings)
    aged = recency(rows.height, settings.confidence_half_life_share)
    return _stored(rows, users, books, weights, settings.alpha * weights * aged)


def profiles(
    rows: pl.DataFrame, users: matrix.Ids, books: matrix.Ids, settings: ModelSettings
) -> sp.csr_matrix:
    """Return the (users, books) confidences from which each reader's own vector is solved after the fit.

    A rating counts `profile_alpha`, by rating, halved for every `profile_half_life_books` ratings that the same
    reader gave later: the next book of a series follows the one that was just finished.
    """
    weights = _by_rating(rows, settings)
    later = _later(users.positions(rows[USER_ID].to_numpy()))
    recent = np.exp2(-later / settings.profile_half_life_books)
    return _stored(rows, users, books, weights, settings.profile_alpha * weights * recent)


def _by_rating(rows: pl.DataFrame, settings: ModelSettings) -> NDArray[np.float64]:
    ratings = rows[RATING].to_numpy()
    neutral = settings.positive_from - 1
    return np.where(
        ratings > neutral,
        1.0,
        np.where(ratings == neutral, settings.neutral_weight, settings.low_weight),
    )


def _later(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each row how many later rows are of the same user."""
    order = np.argsort(positions, kind="stable")
    counts = np.bincount(positions)
    later = np.empty(len(positions), dtype=np.int64)
    later[order] = np.repeat(np.cumsum(counts), counts) - 1 - np.arange(len(positions))
    return later


def _stored(
    rows: pl.DataFrame,
    users: matrix.Ids,
    books: matrix.Ids,
    weights: NDArray[np.float64],
    confidences: NDArray[np.float64],
) -> sp.csr_matrix:
    kept = weights > 0
    return matrix.sparse(
        users.positions(rows[USER_ID].to_numpy())[kept],
        books.positions(rows[BOOK_ID].to_numpy())[kept],
        np.maximum(confidences[kept], _LEAST).astype(np.float32),
        (len(users.values), len(books.values)),
    )
