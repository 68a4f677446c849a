"""Train: vectors for every book, and for every user where the engine fits them, from the accepted ratings.

In: `interactions.parquet`, `books.parquet` and the settings of a release. Out: `factors.parquet`. Guarantees that the
same input and settings give the same bytes, whatever the number of threads.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model import als, confidence, engines, matrix
from jobs.model.settings import ModelSettings
from jobs.release import inputs
from jobs.release.folder import ReleaseFolder
from jobs.runtime.documents import read_table
from jobs.runtime.files import sha256, write_table
from jobs.runtime.record import finished, recorded
from schemas.tables import (
    BOOK_ID,
    ENTITY_ID,
    RATING,
    SIDE,
    SIDE_BOOK,
    SIDE_USER,
    USER_ID,
    VECTOR,
    factors,
)


@dataclass(frozen=True)
class Outcome:
    """What was trained: `factors` is the width of the vectors, `digest` the SHA-256 of factors.parquet.

    `trained_at` is a time in UTC.
    """

    release: str
    users: int
    books: int
    positives: int
    factors: int
    digest: str
    trained_at: str
    reused: bool = False


def run(folder: ReleaseFolder, run_by: str, threads: int | None = None) -> Outcome:
    """Fit the model of a release and write its factors.

    Raises BrokenInput when extract has not finished or was of another LISTS_VERSION, WrongUsage
    when the engine cannot hold so many books.
    """
    inputs.require_own(folder)
    standing = finished(folder.records, "train", Outcome)
    if standing is not None and folder.factors.is_file():
        return standing
    settings = inputs.settings(folder)
    rows = read_table(folder.interactions, "extract", [USER_ID, BOOK_ID, RATING])
    books = matrix.Ids(read_table(folder.books, "extract", [BOOK_ID])[BOOK_ID].to_numpy())
    users = matrix.ids_of(rows[USER_ID].to_numpy())
    with recorded("train", folder.records, run_by) as counts:
        fitted, positives = fit(rows, users, books, settings, threads, show_progress=True)
        write_table(folder.factors, _table(fitted, users, books), factors(fitted.books.shape[1]))
        outcome = Outcome(
            release=folder.release,
            users=len(users.values),
            books=len(books.values),
            positives=positives,
            factors=fitted.books.shape[1],
            digest=sha256(folder.factors),
            trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        counts.update({k: v for k, v in vars(outcome).items() if k != "reused"})
    return outcome


def fit(
    rows: pl.DataFrame,
    users: matrix.Ids,
    books: matrix.Ids,
    settings: ModelSettings,
    threads: int | None = None,
    *,
    show_progress: bool = False,
) -> tuple[als.Factors, int]:
    """Return factors of all users and books from rows in order of arrival, and the number of positive ratings.

    The books' vectors come from the engine's fit; the users' from their own confidences
    (`jobs.model.confidence.profiles`) against the final vectors of the books.
    """
    ratings = rows[RATING].to_numpy()
    pairs = _pairs(rows, users, books)
    engine = engines.of(settings)
    training = confidence.training(pairs, ratings, settings)
    fitted = engine.books(training, settings, threads, show_progress=show_progress)
    profiles = confidence.profiles(pairs, ratings, settings)
    own = engine.readers(profiles, fitted, settings, threads)
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
    settings = inputs.settings(folder)
    if not engines.of(settings).KEEPS_READERS:
        return _with_readers(folder, ids[is_book], vectors[is_book], settings)
    return Stored(ids[~is_book], ids[is_book], als.Factors(vectors[~is_book], vectors[is_book]))


def _with_readers(
    folder: ReleaseFolder,
    book_ids: NDArray[np.int32],
    books: NDArray[np.float32],
    settings: ModelSettings,
) -> Stored:
    """Return what is stored with the readers' vectors made again from the release's ratings."""
    rows = read_table(folder.interactions, "extract", [USER_ID, BOOK_ID, RATING])
    users = matrix.ids_of(rows[USER_ID].to_numpy())
    pairs = _pairs(rows, users, matrix.Ids(book_ids))
    profiles = confidence.profiles(pairs, rows[RATING].to_numpy(), settings)
    own = engines.of(settings).readers(profiles, books, settings)
    return Stored(users.values, book_ids, als.Factors(own, books))


def _table(fitted: als.Factors, users: matrix.Ids, books: matrix.Ids) -> pa.Table:
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
