"""Ratings whose right answer is obvious: groups of readers with disjoint books, some of them read more than others.

In: a folder and a number of rows. Out: a release as extract and its checks leave it. Guarantees that reader u and
book b belong together exactly where u % GROUPS == b % GROUPS, and that more rows begin with the same rows.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from jobs.model import settings as model_settings
from jobs.model.settings import ModelSettings, as_mapping
from jobs.release.identity import InputFile, describe
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.files import write_json
from jobs.runtime.table_files import write_table
from schemas import tables
from tests.harness.releases import pass_checks

GROUPS = 6
USERS = 240
BOOKS = 300
ROWS = 8000
SETTINGS = replace(model_settings.load(None), factors=12, iterations=4)
EASE = model_settings.load(None, "ease")
_FIRST = np.datetime64("2026-01-01", "us")
_MINUTE = np.timedelta64(1, "m")


@cache
def pairs() -> np.ndarray:
    """Return (ROWS, 2) user and book ids in order of arrival, without repeats."""
    generator = np.random.default_rng(11)
    place = np.arange(BOOKS // GROUPS)
    chances = 1 / (place + 3.0)
    rows = []
    for user in range(1, USERS + 1):
        count = ROWS // USERS + (user <= ROWS % USERS)
        drawn = generator.choice(place, count, replace=False, p=chances / chances.sum())
        first = (user - 1) % GROUPS + 1
        rows += [(user, first + GROUPS * int(book)) for book in drawn]
    return np.array(rows)[generator.permutation(len(rows))]


def write_day(
    root: Path,
    partition: str,
    rows: int = ROWS,
    *,
    ordered: bool = True,
    title: str = "Book",
    settings: ModelSettings = SETTINGS,
) -> ReleaseFolder:
    """Write what extract and two passed validations leave of the first `rows` rows, under the artifacts `root`."""
    inputs = (InputFile(f"ratings/{partition}", rows, f"{rows:064}"),)
    begun = describe(partition, inputs, as_mapping(settings), {}, time_ordered=ordered, drops=root)
    folder = Artifacts(root).release(begun["release"])
    write_json(folder.inputs, begun)
    arrived = _FIRST + np.arange(rows) * _MINUTE
    read = pairs()[:rows]
    interactions = pl.DataFrame(
        {
            tables.USER_ID: read[:, 0],
            tables.BOOK_ID: read[:, 1],
            tables.RATING: np.full(rows, 5),
            tables.ARRIVED_AT: pl.Series(arrived).dt.replace_time_zone("UTC"),
            tables.SOURCE_ROW: np.arange(1, rows + 1),
        }
    )
    write_table(folder.interactions, interactions.to_arrow(), tables.INTERACTIONS)
    ids = list(range(1, BOOKS + 1))
    cards = pl.DataFrame(
        {
            tables.BOOK_ID: ids,
            tables.GOODREADS_BOOK_ID: ids,
            tables.TITLE: [f"{title} {book}" for book in ids],
            tables.AUTHORS: [[f"Author {book % GROUPS}"] for book in ids],
            tables.YEAR: [2000] * BOOKS,
            tables.LANGUAGE: ["eng"] * BOOKS,
            tables.GENRES: [[f"group-{book % GROUPS}"] for book in ids],
            tables.TO_READ_COUNT: [0] * BOOKS,
        }
    )
    write_table(folder.books, cards.to_arrow(), tables.BOOKS)
    counts = {"data_as_of": f"{arrived[-1]}+00:00"}
    write_json(folder.records / "extract.json", {"step": "extract", "counts": counts})
    pass_checks(folder)
    return folder
