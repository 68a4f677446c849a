"""Variants of the method that are not in the product: what was tried and measured by `ablation`.

In: a history, settings. Out: lists for every user of the history.
"""

from dataclasses import replace

import numpy as np
import polars as pl
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from jobs.evaluation import ranking
from jobs.evaluation.measured import DEPTH
from jobs.evaluation.ranked import Ranked
from jobs.evaluation.ranking import History
from jobs.model import als, confidence, popularity
from jobs.model.factors import fit
from jobs.model.settings import ModelSettings
from schemas.tables import BOOK_ID, USER_ID
from tests.research.baselines import item_knn, weighing

#: Buckets of rows with nearly the same number of ratings share a regularisation.
_BUCKETS = 12


def vectors_of_the_fit(past: History, settings: ModelSettings) -> Ranked:
    """Return lists by the readers' vectors as the alternating fit leaves them."""
    training = confidence.training(past.pairs, past.ratings, settings)
    fitted = als.fit(training, settings, show_progress=False)
    return ranking.by_vectors(past, fitted, settings, DEPTH)[0]


def _solved(past: History, books: NDArray[np.float32], settings: ModelSettings) -> Ranked:
    """Return lists by the readers' own vectors against given ones of the books."""
    profiles = confidence.profiles(past.pairs, past.ratings, settings)
    vectors = als.Factors(als.user_factors(profiles, books, settings), books)
    return ranking.by_vectors(past, vectors, settings, DEPTH)[0]


def frequency_scaled(past: History, settings: ModelSettings, exponent: float) -> Ranked:
    """Return lists of a fit whose regularisation grows with (number of ratings) ** exponent, its mean unchanged.

    Rendle et al., "Revisiting the Performance of iALS on Item Recommendation Benchmarks", RecSys 2022.
    """
    matrix = confidence.training(past.pairs, past.ratings, settings)
    turned = matrix.T.tocsr()
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(factors=settings.factors, num_threads=1, random_state=0)
        generator = np.random.default_rng(settings.seed)
        users, books = (
            (generator.random((rows, settings.factors), dtype=np.float32) * 0.01)
            for rows in matrix.shape
        )
        how = {"regularization": settings.regularization, "exponent": exponent}
        for _ in range(settings.iterations):
            _sweep(model, matrix, users, books, **how)
            _sweep(model, turned, books, users, **how)
    return _solved(past, books, settings)


def _sweep(
    model: AlternatingLeastSquares,
    matrix: sp.csr_matrix,
    wanted: NDArray[np.float32],
    given: NDArray[np.float32],
    *,
    regularization: float,
    exponent: float,
) -> None:
    """Solve the rows of `wanted` in place, in buckets of rows with nearly the same number of ratings."""
    counts = np.diff(matrix.indptr)
    scale = np.maximum(counts, 1) ** exponent
    scale = scale / np.average(scale, weights=counts)
    for rows in np.array_split(np.argsort(counts, kind="stable"), _BUCKETS):
        found = np.ascontiguousarray(wanted[rows])
        strength = float(regularization * scale[rows].mean())
        model.solver(matrix[rows], found, given, strength, num_threads=1)
        wanted[rows] = found


def with_wishes(
    past: History, settings: ModelSettings, wishes: pl.DataFrame, weight: float
) -> Ranked:
    """Return lists of a fit in which books that readers want to read count `weight` of a new positive.

    The wishes carry no dates: some were made after the cut, so that this flatters them.
    """
    known = wishes.filter(
        pl.col(USER_ID).is_in(past.users.values.tolist())
        & pl.col(BOOK_ID).is_in(past.books.values.tolist())
    )
    rows = past.users.positions(known[USER_ID].to_numpy())
    columns = past.books.positions(known[BOOK_ID].to_numpy())
    training = confidence.training(past.pairs, past.ratings, settings)
    unread = np.asarray(past.rated[rows, columns]).ravel() == 0
    added = sp.csr_matrix(
        (
            np.full(unread.sum(), weight * settings.alpha, dtype=np.float32),
            (rows[unread], columns[unread]),
        ),
        shape=training.shape,
    )
    fitted = als.fit((training + added).tocsr(), settings, show_progress=False)
    return _solved(past, fitted.books, settings)


def with_neighbours(past: History, settings: ModelSettings, share: float) -> Ranked:
    """Return lists by the model's scores with `share` from the nearest neighbours of the reader's last books."""
    vectors, _ = fit(past.rows, past.users, past.books, settings)
    matrix = weighing.weights(past, settings.confidence_half_life_share, 0.3, 0.1)
    near = item_knn.neighbours(matrix, 100, 10.0, 0.5)
    asked = confidence.profiles(past.pairs, past.ratings, replace(settings, profile_alpha=1.0))
    factor = popularity.multiplier(
        popularity.weights(
            past.book_positions, len(past.books.values), settings.popularity_half_life_share
        ),
        settings.popularity_exponent,
        settings.popularity_floor,
    )

    def scores(rows: slice) -> NDArray[np.float32]:
        ours = vectors.users[rows] @ vectors.books.T
        theirs = (asked[rows] @ near).toarray()
        return np.asarray((1 - share) * _scaled(ours) + share * _scaled(theirs), dtype=np.float32)

    return weighing.ranked(past, scores, settings.popularity_half_life_share, factor)


def _scaled(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scores (users, books) with a spread of 1 a user."""
    return np.asarray(scores / np.maximum(scores.std(axis=1, keepdims=True), 1e-12))
