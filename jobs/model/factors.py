"""Factors of a release: fitted from its ratings, as a table, and read back.

In: ratings in order of arrival, settings; or a release folder. Out: vectors of books and users. The same input and
settings give the same bytes, whatever the number of threads (tests/jobs/pipeline/test_train_recommend.py).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model import als, confidence, engines, matrix
from jobs.model.settings import ModelSettings
from jobs.model.settings import of_release as settings_of
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.table_files import read_table
from schemas.tables import (
    BOOK_ID,
    ENTITY_ID,
    RATING,
    SIDE,
    SIDE_BOOK,
    SIDE_USER,
    USER_ID,
    VECTOR,
)


def fit(
    rows: pl.DataFrame,
    users: matrix.Ids,
    books: matrix.Ids,
    settings: ModelSettings,
    threads: int | None = None,
    *,
    only: NDArray[np.int64] | None = None,
    show_progress: bool = False,
) -> tuple[als.Factors, int]:
    """Return factors of all users and books from rows in order of arrival, and the number of positive ratings.

    With `only`, positions of users, vectors are solved for these users alone.

    The books' vectors come from the engine's fit; the users' from their own confidences
    (`jobs.model.confidence.profiles`) against the final vectors of the books.
    """
    ratings = rows[RATING].to_numpy()
    pairs = _pairs(rows, users, books)
    engine = engines.of(settings)
    training = confidence.training(pairs, ratings, settings)
    fitted = engine.books(training, settings, threads, show_progress=show_progress)
    profiles = confidence.profiles(pairs, ratings, settings)
    if only is not None:
        profiles = profiles[only]
    own = engine.user_factors(profiles, fitted, settings, threads)
    return als.Factors(own, fitted), int((ratings >= settings.positive_from).sum())


def _pairs(rows: pl.DataFrame, users: matrix.Ids, books: matrix.Ids) -> matrix.Pairs:
    return matrix.pairs_of(
        users.positions(rows[USER_ID].to_numpy()),
        books.positions(rows[BOOK_ID].to_numpy()),
        (len(users.values), len(books.values)),
    )


@dataclass(frozen=True)
class Stored:
    """Factors as they lie in a release, with the ascending ids of their rows."""

    user_ids: NDArray[np.int32]
    book_ids: NDArray[np.int32]
    vectors: als.Factors


def read_factors(folder: ReleaseFolder) -> Stored:
    """Return the factors of a release. Raises BrokenInput when train has not finished."""
    table = read_table(folder.factors, "train", [SIDE, ENTITY_ID, VECTOR])
    is_book = (table[SIDE] == SIDE_BOOK).to_numpy()
    ids, vectors = table[ENTITY_ID].to_numpy(), table[VECTOR].to_numpy()
    settings = settings_of(folder)
    if not engines.of(settings).KEEPS_USERS:
        return _with_user_factors(folder, ids[is_book], vectors[is_book], settings)
    return Stored(ids[~is_book], ids[is_book], als.Factors(vectors[~is_book], vectors[is_book]))


def _with_user_factors(
    folder: ReleaseFolder,
    book_ids: NDArray[np.int32],
    books: NDArray[np.float32],
    settings: ModelSettings,
) -> Stored:
    """Return what is stored with the users' vectors made again from the release's ratings."""
    rows = read_table(folder.interactions, "extract", [USER_ID, BOOK_ID, RATING])
    users = matrix.ids_of(rows[USER_ID].to_numpy())
    pairs = _pairs(rows, users, matrix.Ids(book_ids))
    profiles = confidence.profiles(pairs, rows[RATING].to_numpy(), settings)
    own = engines.of(settings).user_factors(profiles, books, settings)
    return Stored(users.values, book_ids, als.Factors(own, books))


def as_table(fitted: als.Factors, users: matrix.Ids, books: matrix.Ids) -> pa.Table:
    """Return the factors as rows of `factors.parquet`; an engine without user factors has rows of books alone."""
    if sp.issparse(fitted.users):
        users, vectors = matrix.Ids(users.values[:0]), fitted.books
    else:
        vectors = np.concatenate([fitted.books, fitted.users])
    # By way of polars: pyarrow imports pandas (0.5 s) when it is given an array of numpy.
    return pa.table(
        {
            SIDE: pl.Series(
                np.repeat([SIDE_BOOK, SIDE_USER], [len(books.values), len(users.values)])
            ).to_arrow(),
            ENTITY_ID: pl.Series(np.concatenate([books.values, users.values])).to_arrow(),
            VECTOR: pa.FixedSizeListArray.from_arrays(
                pl.Series(vectors.ravel()).to_arrow(), vectors.shape[1]
            ),
        }
    )
