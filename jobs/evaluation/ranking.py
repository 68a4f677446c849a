"""A model evaluated as it would serve: fit on a history, rank for the users it knows.

In: the accepted rows up to a cut, the catalogue. Out: lists as a matrix, by the same code as the release's own lists.
Guarantees that nothing after the cut is used, that read books are left out, and that a user whom the model does
not know gets the recent popularity list, as the edge would answer.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.evaluation.ranked import NO_BOOK, IdMatrix, Ids, Ranked
from jobs.model import als, matrix, personal, popularity, scoring
from jobs.model.factors import fit, read_factors
from jobs.model.past import Past
from jobs.model.settings import ModelSettings
from jobs.model.two_stage import engine, lists, stored
from jobs.model.two_stage.engine import Moments
from jobs.runtime.artifacts import ReleaseFolder
from schemas.tables import BOOK_ID, RATING, USER_ID


@dataclass(frozen=True)
class History:
    """Rows before a cut, in order of arrival, with users and books as positions; `books` is the complete catalogue.

    `ratings` (rows,) are those of the rows, `pairs` their order by user. `only` are the users whose lists are asked
    for, None for all.
    """

    rows: pl.DataFrame
    users: matrix.Ids
    books: matrix.Ids
    book_positions: NDArray[np.int64]
    ratings: NDArray[np.int8]
    pairs: matrix.Pairs
    only: Ids | None = None

    @cached_property
    def past(self) -> Past:
        """The rows as positions alone."""
        return Past(self.book_positions, self.ratings, self.pairs)

    @property
    def rated(self) -> sp.csr_matrix:
        """Every rated pair, whatever the rating."""
        return self.past.rated


def history(rows: pa.Table, catalogue: NDArray[np.int32]) -> History:
    """Return `rows` (INTERACTIONS in order of arrival) over the ascending ids of the `catalogue`."""
    frame = pl.DataFrame(pl.from_arrow(rows))
    users, books = matrix.ids_of(frame[USER_ID].to_numpy()), matrix.Ids(catalogue)
    of_books = books.positions(frame[BOOK_ID].to_numpy())
    shape = (len(users.values), len(books.values))
    pairs = matrix.pairs_of(users.positions(frame[USER_ID].to_numpy()), of_books, shape)
    return History(frame, users, books, of_books, frame[RATING].to_numpy(), pairs)


def by_model(past: History, settings: ModelSettings, depth: int) -> Ranked:
    """Return lists (users, depth) of the model fitted on `past`, for every user in it, or for its `only`."""
    only = None
    if past.only is not None:
        only = past.users.positions(np.intersect1d(past.only, past.users.values))
    vectors, _ = fit(past.rows, past.users, past.books, settings, only=only)
    return by_vectors(past, vectors, settings, depth, only)[0]


def rows_of(past: History) -> engine.Rows:
    """Return the rows of a history as the two stages take them."""
    users = past.rows[USER_ID].to_numpy()
    return engine.Rows(users, past.book_positions, past.ratings, len(past.books.values))


def by_two_stages(past: History, moments: Moments, depth: int) -> Ranked:
    """Return lists (users, depth) of two stages for every user in `past`; the ranker learned from slices before it."""
    rows = rows_of(past)
    taught = moments.taught(rows, len(past.ratings))
    fitted, users = moments.generators(rows, len(past.ratings))
    listed = lists.best(fitted, taught.ranker, np.arange(len(users.values)), depth)
    return ranked_of(past, listed.personal.found, fitted.popular, depth)


def by_vectors(
    past: History,
    vectors: als.Factors,
    settings: ModelSettings,
    depth: int,
    only: NDArray[np.int64] | None = None,
) -> tuple[Ranked, NDArray[np.bool_]]:
    """Return lists (users, depth) of given vectors for every user in `past`, and who (users,) has one.

    With `only`, positions of users, the vectors are theirs, and so are the lists.
    """
    popular = _popular(past, settings.popularity_half_life_share)
    rated = past.rated if only is None else past.rated[only]
    listed = personal.best(vectors, rated, popular, settings, depth)
    return ranked_of(past, listed.found, popular, depth, only), listed.own


@dataclass(frozen=True)
class Shipped:
    """A release's lists as its factors give them; `missing` users have a positive rating and no vector."""

    lists: Ranked
    missing: int


def of_release(
    folder: ReleaseFolder,
    interactions: pa.Table,
    catalogue: NDArray[np.int32],
    settings: ModelSettings,
    depth: int,
) -> Shipped:
    """Return the lists (users, depth) that the factors of a release give to every user in `interactions`.

    A user without a vector gets the popularity list, as in a release, and is counted as missing if the
    user has a positive rating. Raises BrokenInput when train has not finished.
    """
    past = history(interactions, catalogue)
    factors = read_factors(folder)
    vectors = als.Factors(
        _aligned(past.users, factors.user_ids, factors.vectors.users),
        _aligned(past.books, factors.book_ids, factors.vectors.books),
    )
    if settings.two_stage is None:
        ranked, _ = by_vectors(past, vectors, settings, depth)
    else:
        listed, _ = stored.listed(folder, past.past, vectors.books, settings, depth)
        popular = _popular(past, settings.popularity_half_life_share)
        ranked = ranked_of(past, listed.personal.found, popular, depth)
    own = vectors.known
    positive = past.rows.filter(pl.col(RATING) >= settings.positive_from)[USER_ID].unique()
    with_positive = np.isin(past.users.values, positive.to_numpy())
    return Shipped(ranked, int((with_positive & ~own).sum()))


def _aligned(wanted: matrix.Ids, ids: NDArray[np.int32], vectors: als.UserFactors) -> Any:
    """Return the vectors of `wanted`, zero where the ascending `ids` do not have one; sparse if they are."""
    _, into, of = np.intersect1d(wanted.values, ids, assume_unique=True, return_indices=True)
    if sp.issparse(vectors):
        places = (np.ones(len(into), dtype=np.float32), (into, of))
        return sp.csr_matrix(places, shape=(len(wanted.values), len(ids))) @ vectors
    found = np.zeros((len(wanted.values), vectors.shape[1]), dtype=np.float32)
    found[into] = vectors[of]
    return found


def by_popularity(past: History, half_life_share: float, depth: int) -> Ranked:
    """Return lists (users, depth) of the most read books by recency; an infinite half-life weighs all rows alike."""
    popular = _popular(past, half_life_share)
    return ranked_of(past, personal.most_read(popular, past.rated, depth), popular, depth)


def ids_of(found: scoring.Best, books: matrix.Ids) -> IdMatrix:
    """Return found positions (rows, depth) as book ids, `NO_BOOK` where a row has no more."""
    valid = np.arange(found.positions.shape[1]) < found.counts[:, None]
    return np.where(valid, books.values[found.positions], np.int32(NO_BOOK))


def _popular(past: History, half_life_share: float) -> NDArray[np.float64]:
    return popularity.weights(past.book_positions, len(past.books.values), half_life_share)


def ranked_of(
    past: History,
    found: scoring.Best,
    popular: NDArray[np.float64],
    depth: int,
    only: NDArray[np.int64] | None = None,
) -> Ranked:
    """Return found positions as lists (users, depth) of the users of a history; others get the most popular."""
    users = past.users.values if only is None else past.users.values[only]
    return Ranked(users, ids_of(found, past.books), everyone(popular, past, depth))


def everyone(popular: NDArray[np.float64], past: History, depth: int) -> NDArray[np.int32]:
    """Return the `depth` books of the greatest `popular` (books,), `NO_BOOK` after the last."""
    places, _ = popularity.ranked(popular, np.arange(len(popular)), depth)
    fallback = np.full(depth, NO_BOOK, dtype=np.int32)
    fallback[: len(places)] = past.books.values[places]
    return fallback
