"""Synthesize: a Goodbooks folder of any size in which there is something to find.

In: numbers of users, books and ratings, and a seed. Out: `ratings.csv`, `books.csv`, `tags.csv`, `book_tags.csv` and
`to_read.csv` as upstream lays them out. Guarantees unique (user, book) pairs in order of time, a Zipf-like
popularity, tastes of low rank (a user likes a few genres), drift (books appear, are read most when they are new), and
the same bytes for the same numbers and seed.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.ingest import goodbooks
from jobs.ingest.pairs import repeats
from jobs.runtime.errors import WrongUsage
from jobs.runtime.files import making_folder
from jobs.runtime.progress import progress
from schemas.tables import BOOK_ID, GOODREADS_BOOK_ID, RATING, USER_ID

GENRES = (
    "fantasy", "romance", "mystery", "classics", "science-fiction", "history", "horror", "poetry",
    "thriller", "biography", "young-adult", "humor", "philosophy", "manga", "travel", "psychology",
)  # fmt: skip

_PERIODS = 100  # the catalogue changes so often over the whole time
_OLD_SHARE = 0.6  # books that are there from the start
_NOVELTY = 8.0  # how much more a book is read when it is new ...
_NOVELTY_PERIODS = 6  # ... and for how long
_ZIPF = 0.8
_TASTE = 0.15  # concentration of a user's genres: small is single-minded
_SURPLUS = 1.25  # draws a wanted pair, since some pairs come twice
_MOST_ROUNDS = 12
_FULLEST = 0.5


@dataclass(frozen=True)
class SynthesizeResult:
    """What was made."""

    folder: str
    users: int
    books: int
    ratings: int


@dataclass(frozen=True)
class _World:
    """The truth behind the ratings: genres of books and users, popularity, when books appear (a period)."""

    genre: NDArray[np.int64]
    taste: NDArray[np.float64]
    popularity: NDArray[np.float64]
    appears: NDArray[np.int64]
    activity: NDArray[np.float64]
    quality: NDArray[np.float64]


def run(out: Path, *, users: int, books: int, ratings: int, seed: int) -> SynthesizeResult:
    """Write the folder `out`, which must not exist (5,976,479 ratings: 11 s on two cores).

    Raises WrongUsage when it does, or when more than half of all possible pairs are asked for; TryLater when the
    disk is full.
    """
    if out.exists():
        raise WrongUsage("the target exists", str(out), "name a new folder with --out")
    if ratings > _FULLEST * users * books:
        raise WrongUsage(
            f"{ratings} ratings are more than half of {users} x {books} pairs",
            "command line",
            "ask for fewer ratings or for more users or books",
        )
    generator = np.random.default_rng(seed)
    world = _world(generator, users, books)
    user, book = _pairs(generator, world, ratings)
    rating = _ratings(generator, world, user, book)
    frame = pl.DataFrame({USER_ID: user + 1, BOOK_ID: book + 1, RATING: rating})
    with making_folder(out) as new:
        frame.write_csv(new / goodbooks.RATINGS)
        _write_catalogue(new, generator, world, users)
    return SynthesizeResult(str(out), users, books, ratings)


def _world(generator: np.random.Generator, users: int, books: int) -> _World:
    genres = min(len(GENRES), books)
    appears = generator.integers(1, _PERIODS, books)
    appears[generator.random(books) < _OLD_SHARE] = 0
    # Something is there from the start, in every genre.
    appears[:genres] = 0
    genre = generator.integers(0, genres, books)
    genre[:genres] = np.arange(genres)
    return _World(
        genre=genre,
        taste=generator.dirichlet(np.full(genres, _TASTE), users),
        popularity=generator.permutation(np.arange(1, books + 1, dtype=np.float64) ** -_ZIPF),
        appears=appears,
        activity=generator.lognormal(0.0, 0.6, users),
        quality=generator.normal(0.0, 0.4, books),
    )


def _pairs(
    generator: np.random.Generator, world: _World, wanted: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return `wanted` unique (user, book) pairs in order of time."""
    user = book = period = np.empty(0, dtype=np.int64)
    for _ in range(_MOST_ROUNDS):
        missing = wanted - len(user)
        more = _draw(generator, world, round(missing * _SURPLUS) + _PERIODS)
        user = np.concatenate([user, more[0]])
        book = np.concatenate([book, more[1]])
        period = np.concatenate([period, more[2]])
        kept = _first_of_pairs(user, book)
        user, book, period = user[kept], book[kept], period[kept]
        if len(user) >= wanted:
            break
    else:
        user, book, period = _fill(generator, world, (user, book, period), wanted)
    surplus = generator.permutation(len(user))[:wanted]
    order = surplus[np.lexsort((surplus, period[surplus]))]
    return user[order], book[order]


def _draw(
    generator: np.random.Generator, world: _World, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Draw (user, book, period) by activity, taste, and what is popular or new in the period."""
    by_activity = np.cumsum(world.activity)
    by_taste = np.cumsum(world.taste, axis=1)
    members = [np.flatnonzero(world.genre == g) for g in range(world.taste.shape[1])]
    users, books, periods = [], [], []
    share = -(-count // _PERIODS)
    with progress(_PERIODS, "synthesize", "period") as bar:
        for period in range(_PERIODS):
            user = np.searchsorted(by_activity, generator.random(share) * by_activity[-1])
            genre = (by_taste[user] < generator.random(share)[:, None]).sum(axis=1)
            genre = genre.clip(max=len(members) - 1)
            book = np.empty(share, dtype=np.int64)
            age = period - world.appears
            weight = world.popularity * (1 + _NOVELTY * np.exp(-age / _NOVELTY_PERIODS))
            weight[age < 0] = 0
            for g, of_genre in enumerate(members):
                here = np.flatnonzero(genre == g)
                total = np.cumsum(weight[of_genre])
                place = np.searchsorted(total, generator.random(len(here)) * total[-1], "right")
                book[here] = of_genre[place.clip(max=len(of_genre) - 1)]
            users.append(user)
            books.append(book)
            periods.append(np.full(share, period))
            bar.update(1)
    return np.concatenate(users), np.concatenate(books), np.concatenate(periods)


def _first_of_pairs(user: NDArray[np.int64], book: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of the first row of every pair, ascending."""
    is_first = np.ones(len(user), dtype=bool)
    is_first[repeats(user, book)[1]] = False
    return np.flatnonzero(is_first)


def _fill(
    generator: np.random.Generator,
    world: _World,
    rows: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    wanted: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Fill up with pairs drawn evenly from those that are left: small, full tables only."""
    books = len(world.popularity)
    taken = rows[0] * books + rows[1]
    free = np.setdiff1d(np.arange(len(world.activity) * books), taken)
    chosen = generator.permutation(free)[: wanted - len(taken)]
    period = np.maximum(world.appears[chosen % books], generator.integers(0, _PERIODS, len(chosen)))
    return (
        np.concatenate([rows[0], chosen // books]),
        np.concatenate([rows[1], chosen % books]),
        np.concatenate([rows[2], period]),
    )


def _ratings(
    generator: np.random.Generator, world: _World, user: NDArray[np.int64], book: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return ratings of 1 to 5: better for a user's genres and good books, with noise."""
    fondness = world.taste[user, world.genre[book]]
    value = 3.2 + 1.2 * fondness + world.quality[book] + generator.normal(0.0, 0.7, len(user))
    return np.rint(value).clip(1, 5).astype(np.int64)


def _write_catalogue(
    folder: Path, generator: np.random.Generator, world: _World, users: int
) -> None:
    books = len(world.genre)
    ids = np.arange(1, books + 1)
    names = [GENRES[genre] for genre in world.genre]
    pl.DataFrame(
        {
            BOOK_ID: ids,
            GOODREADS_BOOK_ID: 100_000 + ids,
            "authors": [f"Author {1 + number % 997}" for number in ids],
            "original_publication_year": 1950 + world.appears * 60 // _PERIODS,
            "title": [
                f"{name.capitalize()}, volume {number}"
                for name, number in zip(names, ids, strict=True)
            ],
            "language_code": ["eng"] * books,
        }
    ).write_csv(folder / goodbooks.BOOKS)
    tags = [*GENRES, "to-read", "favorites"]
    pl.DataFrame({"tag_id": range(len(tags)), "tag_name": tags}).write_csv(folder / goodbooks.TAGS)
    pl.DataFrame(
        {
            GOODREADS_BOOK_ID: np.concatenate([100_000 + ids, 100_000 + ids]),
            "tag_id": np.concatenate([world.genre, np.full(books, len(GENRES))]),
            "count": np.concatenate([generator.integers(10, 1000, books), np.full(books, 5000)]),
        }
    ).write_csv(folder / goodbooks.BOOK_TAGS)
    user, book = generator.integers(0, users, 2 * users), generator.integers(0, books, 2 * users)
    to_read = pl.DataFrame({USER_ID: user + 1, BOOK_ID: book + 1}).unique(maintain_order=True)
    to_read.write_csv(folder / goodbooks.TO_READ)
