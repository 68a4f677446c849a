"""A small release in which every table is good, built by a rule that can be followed by hand.

In: a releases folder and a partition. Out: a release folder with all tables. Guarantees: user u has rated book b
exactly where (u + b) is a multiple of 3; book 1, 3, 5 ... is fantasy, 2, 4, 6 ... is history; a user's list holds all
20 books they have not rated, so that the catalogue of 30 has run out.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.model import settings as model_settings
from jobs.release.identity import InputFile, describe
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.files import write_json
from jobs.runtime.table_files import write_table
from schemas import sources
from schemas import tables as t

USERS = 24
BOOKS = 30
PARTITION = "2026-03-02"
BEFORE = "2026-03-01"

Row = dict[str, Any]


def write_release(releases: Path, partition: str = PARTITION, users: int = USERS) -> ReleaseFolder:
    """Write a release of `partition` with users 1 to `users` and return its folder."""
    inputs = tuple(
        InputFile(f"catalogue/{name}", 1, f"{partition}{users}")
        for name in ("books.csv", "tags.csv", "book_tags.csv")
    )
    begun = describe(
        partition,
        inputs,
        model_settings.as_mapping(model_settings.load(None)),
        {},
        time_ordered=True,
        drops=releases,
    )
    folder = ReleaseFolder(releases / begun["release"])
    folder.root.mkdir(parents=True)
    write_json(folder.inputs, begun)
    _write(folder.interactions, _ratings(partition, users), t.INTERACTIONS)
    _write(folder.books, [_card(book) for book in range(1, BOOKS + 1)], t.BOOKS)
    _write(folder.rejects, [], t.REJECTS)
    _write(folder.lists, [_list(user) for user in range(1, users + 1)], t.LISTS)
    tags = {
        t.ALL_BOOKS: list(range(1, BOOKS + 1)),
        "fantasy": list(range(1, BOOKS + 1, 2)),
        "history": list(range(2, BOOKS + 1, 2)),
    }
    popular = [{t.TAG: tag, **_ranked(books)} for tag, books in tags.items()]
    _write(folder.popularity, popular, t.POPULARITY)
    similar = [
        {t.BOOK_ID: book, **_ranked([other for other in range(1, BOOKS + 1) if other != book])}
        for book in range(1, BOOKS + 1)
    ]
    _write(folder.similar, similar, t.SIMILAR)
    return folder


def change(path: Path, schema: pa.Schema, edit: Callable[[list[Row]], Any]) -> None:
    """Rewrite a table after `edit` has changed its rows in place."""
    rows: list[Row] = pq.read_table(path).to_pylist()
    edit(rows)
    _write(path, rows, schema)


def is_rated(user: int, book: int) -> bool:
    """Say whether the user has rated the book."""
    return (user + book) % 3 == 0


def _write(path: Path, rows: list[Row], schema: pa.Schema) -> None:
    write_table(path, pa.Table.from_pylist(rows, schema), schema)


def _ratings(partition: str, users: int) -> list[Row]:
    begin = datetime.fromisoformat(partition).replace(tzinfo=UTC)
    pairs = [
        (user, book)
        for book in range(1, BOOKS + 1)
        for user in range(1, users + 1)
        if is_rated(user, book)
    ]
    return [
        {
            t.USER_ID: user,
            t.BOOK_ID: book,
            t.RATING: 1 + (user + 2 * book) % 5,
            t.ARRIVED_AT: begin + timedelta(minutes=row),
            t.SOURCE_ROW: row + 1,
        }
        for row, (user, book) in enumerate(pairs)
    ]


def _card(book: int) -> Row:
    return {
        t.BOOK_ID: book,
        t.GOODREADS_BOOK_ID: 1000 + book,
        t.TITLE: f"Title {book}",
        t.AUTHORS: ["Somebody"],
        t.YEAR: None if book == 1 else 1900 + book,
        t.LANGUAGE: "eng",
        t.GENRES: ["fantasy"] if book % 2 else ["history"],
        t.TO_READ_COUNT: 0,
    }


def _list(user: int) -> Row:
    unrated = [book for book in range(1, BOOKS + 1) if not is_rated(user, book)]
    turned = unrated[user % 20 :] + unrated[: user % 20]
    return {t.USER_ID: user, t.SOURCE: sources.ALS, **_ranked(turned)}


def _ranked(books: list[int]) -> Row:
    scores = [float(np.float16(1 / (place + 1))) for place in range(len(books))]
    return {t.BOOK_IDS: books, t.SCORES: scores}
