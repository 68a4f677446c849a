"""Train: factors for every user and book from the accepted ratings.

In: `interactions.parquet`, `books.parquet` and the settings of a release. Out: `factors.parquet`. Guarantees that the
same input and settings give the same bytes, whatever the number of threads.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pyarrow as pa
import scipy.sparse as sp

from jobs.model import als, matrix
from jobs.model.settings import ModelSettings
from jobs.release import inputs
from jobs.release.folder import ReleaseFolder, require
from jobs.runtime.files import sha256, write_table
from jobs.runtime.record import read_record, recorded
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
    """What was trained; `digest` is the SHA-256 of factors.parquet, `trained_at` a time in UTC."""

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

    Raises BrokenInput when extract has not finished.
    """
    standing = read_record(folder.records, "train")
    if standing is not None and folder.factors.is_file():
        return Outcome(**standing, reused=True)
    settings = inputs.settings(folder)
    rows = pl.read_parquet(
        require(folder.interactions, "extract"), columns=[USER_ID, BOOK_ID, RATING]
    )
    books = matrix.Ids(pl.read_parquet(folder.books, columns=[BOOK_ID])[BOOK_ID].to_numpy())
    users = matrix.ids_of(rows[USER_ID].to_numpy())
    with recorded("train", folder.records, run_by) as counts:
        confidence = confidences(rows, users, books, settings)
        fitted = als.fit(confidence, settings, threads)
        write_table(folder.factors, _table(fitted, users, books), factors(settings.factors))
        outcome = Outcome(
            release=folder.release,
            users=len(users.values),
            books=len(books.values),
            positives=int(confidence.nnz),
            factors=settings.factors,
            digest=sha256(folder.factors),
            trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        counts.update({k: v for k, v in vars(outcome).items() if k != "reused"})
    return outcome


def confidences(
    rows: pl.DataFrame, users: matrix.Ids, books: matrix.Ids, settings: ModelSettings
) -> sp.csr_matrix:
    """Return the (users, books) confidence matrix: `alpha` for each rating of at least `positive_from`."""
    liked = rows.filter(pl.col(RATING) >= settings.positive_from)
    return matrix.sparse(
        users.positions(liked[USER_ID].to_numpy()),
        books.positions(liked[BOOK_ID].to_numpy()),
        np.full(liked.height, settings.alpha, dtype=np.float32),
        (len(users.values), len(books.values)),
    )


def _table(fitted: als.Factors, users: matrix.Ids, books: matrix.Ids) -> pa.Table:
    width = fitted.books.shape[1]
    vectors = np.concatenate([fitted.books, fitted.users]).ravel()
    sides = [SIDE_BOOK] * len(books.values) + [SIDE_USER] * len(users.values)
    return pa.table(
        {
            SIDE: pa.array(sides),
            ENTITY_ID: pa.array(np.concatenate([books.values, users.values])),
            VECTOR: pa.FixedSizeListArray.from_arrays(pa.array(vectors), width),
        }
    )
