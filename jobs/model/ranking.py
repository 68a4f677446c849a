"""A model judged as it would serve: fit on a history, rank for the users of a slice.

In: the accepted rows up to a cut. Out: lists as a matrix, by the same code as the release's own lists. Guarantees that
nothing after the cut is used, that read books are left out, and that a user whom the model does not know gets the
recent popularity list, as the edge would answer.
"""

import numpy as np
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.judgement.ranked import NO_BOOK, IdMatrix, Ranked
from jobs.model import als, matrix, popularity, scoring
from jobs.model.settings import ModelSettings
from jobs.train import confidences
from schemas.tables import BOOK_ID, USER_ID


def by_model(
    history: pa.Table, cases: NDArray[np.int32], settings: ModelSettings, depth: int
) -> Ranked:
    """Return lists (cases, depth) of ALS fitted on `history` (INTERACTIONS in order of arrival)."""
    rows = pl.DataFrame(pl.from_arrow(history))
    users = matrix.ids_of(rows[USER_ID].to_numpy())
    books = matrix.ids_of(rows[BOOK_ID].to_numpy())
    confidence = confidences(rows, users, books, settings)
    fitted = als.fit(confidence, settings)
    places, known = _places(users, cases)
    vectors = fitted.users[places]
    rated = _rated(rows, users, books, places)
    found = scoring.best(vectors, fitted.books, rated, depth)
    lists = _ids(found, books)
    without = ~known | (np.linalg.norm(vectors, axis=1) == 0)
    common = by_popularity(history, cases, settings.popularity_half_life_share, depth)
    lists[without] = common.book_ids[without]
    return Ranked(cases, lists, common.fallback)


def by_popularity(
    history: pa.Table, cases: NDArray[np.int32], half_life_share: float, depth: int
) -> Ranked:
    """Return lists (cases, depth) of the most read books, weighted by recency; infinity weighs all rows alike."""
    rows = pl.DataFrame(pl.from_arrow(history))
    users = matrix.ids_of(rows[USER_ID].to_numpy())
    books = matrix.ids_of(rows[BOOK_ID].to_numpy())
    positions = books.positions(rows[BOOK_ID].to_numpy())
    weights = popularity.weights(positions, len(books.values), half_life_share).astype(np.float32)
    places, known = _places(users, cases)
    rated = _rated(rows, users, books, places)
    rated = sp.csr_matrix(sp.diags(known.astype(np.float32)) @ rated)
    ones = np.ones((len(cases), 1), dtype=np.float32)
    found = scoring.best(ones, weights[:, None], rated, depth)
    everyone, _ = scoring.select(weights[None, :], depth)
    fallback = np.full(depth, NO_BOOK, dtype=np.int32)
    fallback[: everyone.shape[1]] = books.values[everyone[0]]
    return Ranked(cases, _ids(found, books), fallback)


def _places(
    users: matrix.Ids, cases: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return each case's position and whether the user is known; the position of an unknown one means nothing."""
    places = np.searchsorted(users.values, cases).clip(max=len(users.values) - 1)
    return places, users.values[places] == cases


def _rated(
    rows: pl.DataFrame, users: matrix.Ids, books: matrix.Ids, places: NDArray[np.int64]
) -> sp.csr_matrix:
    ones = np.ones(rows.height, dtype=np.float32)
    shape = (len(users.values), len(books.values))
    everything = matrix.sparse(
        users.positions(rows[USER_ID].to_numpy()),
        books.positions(rows[BOOK_ID].to_numpy()),
        ones,
        shape,
    )
    return everything[places]


def _ids(found: scoring.Best, books: matrix.Ids) -> IdMatrix:
    lists = books.values[found.positions]
    valid = np.arange(lists.shape[1]) < found.counts[:, None]
    return np.where(valid, lists, np.int32(NO_BOOK))
