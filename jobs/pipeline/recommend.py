"""Recommend: the lists of a release.

In: `factors.parquet`, of two stages `ranker.json`, `interactions.parquet`, `books.parquet` and the settings of a
release. Out: `lists.parquet`, `popularity.parquet` and `similar.parquet`. Guarantees a list for every user with
ratings: no book the user has rated, no repeats, and fewer than the wanted number of books only where the catalogue ran
out; the same bytes for any number of threads. Without shelf rules scores do not ascend and equal ones go by book id.
"""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model import als, engines, matrix, personal, popularity, scoring
from jobs.model.factors import read_factors
from jobs.model.past import Past, past_of
from jobs.model.personal import Personal
from jobs.model.settings import ModelSettings
from jobs.model.settings import of_release as settings_of
from jobs.model.two_stage import stored
from jobs.release import inputs
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.files import sha256
from jobs.runtime.record import finished, recorded
from jobs.runtime.table_files import read_table, write_table
from schemas import sources
from schemas.tables import (
    ALL_BOOKS,
    BOOK_ID,
    BOOK_IDS,
    GENRES,
    LISTS,
    POPULARITY,
    RATING,
    SCORES,
    SIMILAR,
    SOURCE,
    TAG,
    USER_ID,
)

#: Genres with fewer rated books get no list of their own.
LEAST_BOOKS_OF_A_TAG = 20


@dataclass(frozen=True)
class RecommendResult:
    """How many lists there are; `short_lists` are those that ran out of books, `digests` SHA-256 by file.

    `moved` counts by shelf rule the books that it moved or kept out.
    """

    release: str
    lists: int
    popularity_lists: int
    tags: int
    similar_lists: int
    short_lists: int
    digests: dict[str, str]
    moved: dict[str, int] = field(default_factory=dict)
    reused: bool = False


@dataclass(frozen=True)
class _Counted:
    """What was counted of the users' lists, as in `RecommendResult`."""

    lists: int
    popularity_lists: int
    short_lists: int
    moved: dict[str, int]


@dataclass(frozen=True)
class _Catalogue:
    """A release's rows as positions: `users` and `books` of every row in order of arrival."""

    user_ids: matrix.Ids
    book_ids: matrix.Ids
    users: NDArray[np.int64]
    books: NDArray[np.int64]
    ratings: NDArray[np.int8]
    cards: pl.DataFrame

    @property
    def past(self) -> Past:
        """The rows, and every rated pair."""
        shape = (len(self.user_ids.values), len(self.book_ids.values))
        return past_of(self.users, self.books, self.ratings, shape)


def run(folder: ReleaseFolder, run_by: str, threads: int | None = None) -> RecommendResult:
    """Write the lists of a release.

    Raises BrokenInput when extract or train has not finished, or the release is of another LISTS_VERSION.
    """
    inputs.require_own(folder)
    standing = finished(folder.records, "recommend", RecommendResult)
    targets = (folder.lists, folder.popularity, folder.similar)
    if standing is not None and all(path.is_file() for path in targets):
        return standing
    settings = settings_of(folder)
    catalogue = _catalogue(folder)
    vectors = read_factors(folder).vectors
    with recorded("recommend", folder.records, run_by) as counts:
        popular = popularity.weights(
            catalogue.books, len(catalogue.book_ids.values), settings.popularity_half_life_share
        )
        tags = _write_popularity(folder, catalogue, popular, settings)
        similar = _write_similar(folder, catalogue, vectors.books, settings, threads)
        counted = _write_lists(folder, catalogue, vectors, popular, settings, threads=threads)
        outcome = RecommendResult(
            release=folder.release,
            lists=counted.lists,
            popularity_lists=counted.popularity_lists,
            tags=tags,
            similar_lists=similar,
            short_lists=counted.short_lists,
            moved=counted.moved,
            digests={path.name: sha256(path) for path in targets},
        )
        counts.update({k: v for k, v in vars(outcome).items() if k != "reused"})
    return outcome


def _catalogue(folder: ReleaseFolder) -> _Catalogue:
    rows = read_table(folder.interactions, "extract", [USER_ID, BOOK_ID, RATING])
    cards = read_table(folder.books, "extract", [BOOK_ID, GENRES])
    user_ids, book_ids = (
        matrix.ids_of(rows[USER_ID].to_numpy()),
        matrix.Ids(cards[BOOK_ID].to_numpy()),
    )
    return _Catalogue(
        user_ids=user_ids,
        book_ids=book_ids,
        users=user_ids.positions(rows[USER_ID].to_numpy()),
        books=book_ids.positions(rows[BOOK_ID].to_numpy()),
        ratings=rows[RATING].to_numpy(),
        cards=cards,
    )


def _write_lists(
    folder: ReleaseFolder,
    catalogue: _Catalogue,
    vectors: als.Factors,
    popular: NDArray[np.float64],
    settings: ModelSettings,
    *,
    threads: int | None,
) -> _Counted:
    """Write a list for every user and return what was counted."""
    listed, engine, moved = _personal(
        folder, catalogue, vectors, popular, settings, threads=threads
    )
    found, made_by = listed.found, np.where(listed.own, engine, sources.POPULARITY)
    table = pa.table(
        {
            USER_ID: _array(catalogue.user_ids.values),
            SOURCE: _array(made_by),
            **_columns(found, catalogue.book_ids),
        }
    )
    write_table(folder.lists, table, LISTS)
    return _Counted(
        lists=table.num_rows,
        popularity_lists=int((~listed.own).sum()),
        short_lists=int((found.counts < settings.list_length).sum()),
        moved=moved,
    )


def _personal(
    folder: ReleaseFolder,
    catalogue: _Catalogue,
    vectors: als.Factors,
    popular: NDArray[np.float64],
    settings: ModelSettings,
    *,
    threads: int | None,
) -> tuple[Personal, str, dict[str, int]]:
    """Return the lists of all users, the engine that made them, and what the shelf rules moved."""
    limit = settings.list_length
    if settings.two_stage is None:
        rated = catalogue.past.rated
        found = personal.best(vectors, rated, popular, settings, limit, threads=threads)
        return found, settings.engine, {}
    listed, ranks = stored.listed(
        folder, catalogue.past, vectors.books, settings, limit, threads=threads
    )
    return listed.personal, settings.engine if ranks else sources.ALS, listed.moved


def _write_popularity(
    folder: ReleaseFolder,
    catalogue: _Catalogue,
    popular: NDArray[np.float64],
    settings: ModelSettings,
) -> int:
    """Write the popularity lists of all books and of every genre that is large enough; return how many."""
    genres = (
        catalogue.cards.with_row_index("position")
        .explode(GENRES)
        .drop_nulls(GENRES)
        .group_by(GENRES)
        .agg(pl.col("position").sort())
        .sort(GENRES)
    )
    among = {ALL_BOOKS: np.arange(len(popular)), **dict(genres.rows())}
    lists = {
        tag: popularity.ranked(popular, np.asarray(positions, dtype=np.int64), settings.list_length)
        for tag, positions in among.items()
        if tag == ALL_BOOKS
        or np.count_nonzero(popular[np.asarray(positions)]) >= LEAST_BOOKS_OF_A_TAG
    }
    ids = catalogue.book_ids.values
    table = pl.DataFrame(
        {
            TAG: list(lists),
            BOOK_IDS: [ids[places] for places, _ in lists.values()],
            SCORES: [scores for _, scores in lists.values()],
        }
    )
    write_table(folder.popularity, table.to_arrow(), POPULARITY)
    return len(lists)


def _write_similar(
    folder: ReleaseFolder,
    catalogue: _Catalogue,
    vectors: NDArray[np.float32],
    settings: ModelSettings,
    threads: int | None,
) -> int:
    """Write the most similar books of every book that has a vector; return how many."""
    known = np.flatnonzero(vectors.any(axis=1))
    rows, columns = engines.of(settings).similarity(vectors)
    itself = sp.identity(len(vectors), dtype=np.float32, format="csr")[known]
    found = scoring.best(
        rows[known], columns[known], itself[:, known], settings.similar_length, threads=threads
    )
    ids = matrix.Ids(catalogue.book_ids.values[known])
    table = pa.table({BOOK_ID: _array(ids.values), **_columns(found, ids)})
    write_table(folder.similar, table, SIMILAR)
    return len(known)


def _columns(found: scoring.Best, book_ids: matrix.Ids) -> dict[str, pa.Array]:
    """Return the list columns of `found` without a Python object a list."""
    valid = np.arange(found.positions.shape[1]) < found.counts[:, None]
    offsets = _array(np.concatenate([[0], np.cumsum(found.counts)]).astype(np.int32))
    ids = _array(book_ids.values[found.positions[valid]])
    scores = _array(found.scores[valid])
    return {
        BOOK_IDS: pa.ListArray.from_arrays(offsets, ids),
        SCORES: pa.ListArray.from_arrays(offsets, scores),
    }


def _array(values: NDArray[np.generic]) -> pa.Array:
    # By way of polars, as in jobs.pipeline.train: without an import of pandas.
    return pl.Series(values).to_arrow()
