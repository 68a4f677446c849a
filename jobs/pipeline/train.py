"""Train: vectors for every book, and for every user where the engine fits them, from the accepted ratings.

In: `interactions.parquet`, `books.parquet` and the settings of a release. Out: `factors.parquet`, and of two stages
`ranker.json`. Guarantees that the same input and settings give the same bytes, whatever the number of threads.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from jobs.model import matrix, metadata
from jobs.model.factors import as_table, fit
from jobs.model.settings import ModelSettings
from jobs.model.settings import of_release as settings_of
from jobs.model.two_stage import engine, stored
from jobs.release import inputs
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.files import sha256
from jobs.runtime.record import finished, recorded
from jobs.runtime.table_files import read_table, write_table
from schemas.tables import (
    BOOK_ID,
    RATING,
    USER_ID,
    factors,
)


@dataclass(frozen=True)
class TrainResult:
    """What was trained: `factors` is the width of the vectors, `digest` the SHA-256 of factors.parquet.

    `trained_at` is a time in UTC. What follows is of two stages, None for other engines: whether there is a ranker
    (else too few cases: the lists are those of ALS), what it learned from, and the share of what was liked next that
    stood among the candidates.
    """

    release: str
    users: int
    books: int
    positives: int
    factors: int
    digest: str
    trained_at: str
    ranks: bool | None = None
    ranker_slices: int | None = None
    ranker_cases: int | None = None
    candidate_recall: float | None = None
    ranker_digest: str | None = None
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
            **(_ranker(folder, rows, books, settings, threads) if settings.two_stage else {}),
        )
        counts.update({k: v for k, v in asdict(outcome).items() if k != "reused"})
    return outcome


def _ranker(
    folder: ReleaseFolder,
    rows: pl.DataFrame,
    books: matrix.Ids,
    settings: ModelSettings,
    threads: int | None,
) -> dict[str, Any]:
    """Teach the ranker of two stages from the newest slices, write it, and say what it learned from."""
    cards = metadata.of_cards(read_table(folder.books, "extract"))
    width = engine.width_of(rows.height, settings)
    moments = engine.Moments(cards, settings, width, threads)
    of_rows = engine.Rows(
        rows[USER_ID].to_numpy(),
        books.positions(rows[BOOK_ID].to_numpy()),
        rows[RATING].to_numpy(),
        len(books.values),
    )
    taught = moments.taught(of_rows, rows.height)
    return {
        "ranks": taught.ranker is not None,
        "ranker_slices": taught.slices,
        "ranker_cases": taught.cases,
        "candidate_recall": round(taught.recall, 4),
        "ranker_digest": stored.write(folder, taught),
    }
