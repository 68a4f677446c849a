"""Which read books speak for a recommended one.

In: a trained release, a user, a book. Out: a part of the score for each read book. Guarantees that the parts add up to
the score, with every engine (`jobs.model.engines`): a user's vector is a weighted sum over the read books, so every
score is one too.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.model import confidence, engines, matrix, popularity
from jobs.model.factors import read_factors
from jobs.model.settings import ModelSettings
from jobs.model.settings import of_release as settings_of
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import WrongUsage
from jobs.runtime.table_files import read_table
from schemas.tables import BOOK_ID, RATING, USER_ID


@dataclass(frozen=True)
class Contribution:
    """A read book and what it adds to a score; `share` is relative to the complete score."""

    book_id: int
    rating: int
    part: float
    share: float


def contributions(
    folder: ReleaseFolder, user_id: int, book_id: int, limit: int = 3
) -> list[Contribution]:
    """Return the `limit` read books of a user that speak most for a book, the strongest first.

    Parts are in the unit of the list's scores. Raises WrongUsage when the release does not know the user or
    the book, or when the user has rated the book; BrokenInput when the release is not trained.
    """
    settings = settings_of(folder)
    rows = read_table(folder.interactions, "extract", [USER_ID, BOOK_ID, RATING])
    stored = read_factors(folder)
    ids = matrix.Ids(stored.book_ids)
    mine = rows.filter(pl.col(USER_ID) == user_id)
    _check(mine, ids, user_id, book_id)
    read, confidences = _profile(mine, ids, settings)
    if not len(read):
        return []
    books = stored.vectors.books
    wanted = ids.positions(np.array([book_id], dtype=np.int32))
    found = engines.of(settings).contributions(books, read, confidences, wanted, settings)[0]
    found = found * float(_multiplier(rows, ids, settings)[wanted[0]])
    ratings = dict(mine.select(BOOK_ID, RATING).rows())
    best = np.lexsort((read, -found))[:limit]
    return [
        Contribution(
            int(ids.values[read[place]]),
            int(ratings[int(ids.values[read[place]])]),
            float(found[place]),
            float(found[place] / found.sum()),
        )
        for place in best
    ]


def _check(mine: pl.DataFrame, ids: matrix.Ids, user_id: int, book_id: int) -> None:
    if not mine.height:
        raise WrongUsage(f"user {user_id} has no ratings", "--user", "name a user with ratings")
    if book_id not in ids.values:
        raise WrongUsage(f"there is no book {book_id}", "--book", "name a book of the catalogue")
    if book_id in mine[BOOK_ID]:
        raise WrongUsage(
            f"user {user_id} has rated book {book_id}", "--book", "name a book not yet read"
        )


def _profile(
    mine: pl.DataFrame, ids: matrix.Ids, settings: ModelSettings
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return positions and confidences of a user's read books."""
    books = ids.positions(mine[BOOK_ID].to_numpy())
    pairs = matrix.pairs_of(np.zeros_like(books), books, (1, len(ids.values)))
    one = confidence.profiles(pairs, mine[RATING].to_numpy(), settings)
    return one.indices.astype(np.int64), one.data


def _multiplier(
    rows: pl.DataFrame, ids: matrix.Ids, settings: ModelSettings
) -> NDArray[np.float32]:
    positions = ids.positions(rows[BOOK_ID].to_numpy())
    popular = popularity.weights(positions, len(ids.values), settings.popularity_half_life_share)
    return popularity.multiplier(popular, settings.popularity_exponent, settings.popularity_floor)
