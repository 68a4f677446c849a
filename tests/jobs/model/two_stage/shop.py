"""A small shop whose next sale is known: users read series of their genre in order, one volume after another.

In: nothing. Out: rows in order of arrival and the cards. Whoever likes a volume likes the next one next, so a ranker
that sees series finds it; the most read books are volumes 1.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl

from jobs.model import metadata
from jobs.model import settings as model_settings
from jobs.model.settings import ModelSettings, stage_of
from jobs.model.two_stage.engine import Moments, Rows
from schemas import tables

GENRES, SERIES, VOLUMES, USERS, READ = 3, 24, 6, 150, 24
_SHIPPED = model_settings.load(None, "two_stage")
SETTINGS: ModelSettings = replace(
    _SHIPPED,
    factors=8,
    iterations=4,
    list_length=20,
    two_stage=replace(
        stage_of(_SHIPPED),
        ranker_slices=6,
        ranker_slice_share=0.04,
        ranker_least_cases=50,
        ranker_trees=40,
        ranker_leaf_rows=20,
        pool=60,
    ),
)


@cache
def cards() -> pl.DataFrame:
    """Return the cards: book s * VOLUMES + v is volume v + 1 of series s, which is of genre s % GENRES."""
    numbers = [(series, volume) for series in range(SERIES) for volume in range(VOLUMES)]
    return pl.DataFrame(
        {
            tables.BOOK_ID: list(range(1, len(numbers) + 1)),
            tables.TITLE: [f"{s} goes {v} (Saga {s}, #{v + 1})" for s, v in numbers],
            tables.AUTHORS: [[f"Author {s}"] for s, _ in numbers],
            tables.LANGUAGE: ["eng"] * len(numbers),
            tables.GENRES: [[f"genre-{s % GENRES}"] for s, _ in numbers],
        },
        schema_overrides={tables.BOOK_ID: pl.Int32},
    )


@cache
def rows() -> Rows:
    """Return the rows: at each turn a user reads on in a series that they began, or begins one of their genre."""
    generator = np.random.default_rng(21)
    read: dict[int, dict[int, int]] = {user: {} for user in range(USERS)}
    found = []
    for _ in range(READ):
        for user in generator.permutation(USERS):
            own = read[int(user)]
            going = [series for series, volume in own.items() if volume < VOLUMES]
            if going and generator.uniform() < 0.8:
                series = going[-1]
            else:
                of_genre = np.arange(int(user) % GENRES, SERIES, GENRES)
                fresh = [int(one) for one in of_genre if int(one) not in own]
                if not fresh:
                    continue
                series = fresh[int(generator.integers(len(fresh)))]
            volume = own.get(series, 0)
            own[series] = volume + 1
            found.append((int(user) + 1, series * VOLUMES + volume, 3 + int(generator.integers(3))))
    users, items, ratings = np.array(found).T
    return Rows(users.astype(np.int32), items, ratings.astype(np.int8), SERIES * VOLUMES)


def moments(settings: ModelSettings = SETTINGS, threads: int = 1) -> Moments:
    """Return what fits the shop's moments."""
    width = max(1, round(len(rows().users) * stage_of(settings).ranker_slice_share))
    return Moments(metadata.of_cards(cards()), settings, width, threads)
