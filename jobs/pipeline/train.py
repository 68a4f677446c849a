"""Train: vectors for every book, and for every user where the engine fits them, from the accepted ratings.

In: `interactions.parquet`, `books.parquet` and the settings of a release. Out: `factors.parquet`. Guarantees that the
same input and settings give the same bytes, whatever the number of threads.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.model import matrix
from jobs.model.factors import as_table, fit
from jobs.model.settings import of_release as settings_of
from jobs.release import inputs
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.documents import read_table
from jobs.runtime.files import sha256, write_table
from jobs.runtime.record import finished, recorded
from schemas.tables import (
    BOOK_ID,
    RATING,
    USER_ID,
    factors,
)


@dataclass(frozen=True)
class TrainResult:
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


def run(folder: ReleaseFolder, run_by: str, threads: int | None = None) -> TrainResult:
    """Fit the model of a release and write its factors.

    Raises BrokenInput when extract has not finished or was of another LISTS_VERSION, WrongUsage
    when the engine cannot hold so many books.
    """
    inputs.require_own(folder)
    standing = finished(folder.records, "train", TrainResult)
    if standing is not None and folder.factors.is_file():
        return standing
    settings = settings_of(folder)
    rows = read_table(folder.interactions, "extract", [USER_ID, BOOK_ID, RATING])
    books = matrix.Ids(read_table(folder.books, "extract", [BOOK_ID])[BOOK_ID].to_numpy())
    users = matrix.ids_of(rows[USER_ID].to_numpy())
    with recorded("train", folder.records, run_by) as counts:
        fitted, positives = fit(rows, users, books, settings, threads, show_progress=True)
        write_table(folder.factors, as_table(fitted, users, books), factors(fitted.books.shape[1]))
        outcome = TrainResult(
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
