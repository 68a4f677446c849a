"""Book cards and `to_read` rows from the catalogue files.

In: `books.csv` of either edition and, where they are there, `tags.csv`, `book_tags.csv`, `to_read.csv`. Out: one card
a book with authors, year and curated genres, and the undated `to_read` rows of users. Guarantees unique book ids and a
title on every card (`display` cleans what is only shown); of 34,252 tags only those in `genres.toml` become genres,
since most are shelf names.
"""

import logging
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from jobs.ingest import display, goodbooks, numbers
from jobs.ingest.settings import DEFAULTS, RowSettings
from jobs.runtime.errors import BrokenInput
from schemas.tables import (
    BOOK_ID,
    BOOKS,
    GENRES,
    GOODREADS_BOOK_ID,
    TO_READ,
    TO_READ_COUNT,
    USER_ID,
)

GENRES_FILE = Path(__file__).with_name("genres.toml")

#: A card shows the genres that at least this share of its most used genre's users chose.
_GENRE_SHARE = 0.1
_MOST_GENRES = 5
_GREATEST_ID = 2**31 - 1
_WITHOUT = {
    goodbooks.TAGS: "no card has genres",
    goodbooks.BOOK_TAGS: "no card has genres",
    goodbooks.TO_READ: "nobody wishes to read a book",
}


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Catalogue:
    """Book cards (BOOKS) and `to_read` rows (TO_READ).

    `to_read_dropped` counts rows of to_read.csv that are no wish, repeat one or are left out; `cleared` counts cells of
    columns that are only shown, by column.
    """

    cards: pl.DataFrame
    to_read: pl.DataFrame
    to_read_dropped: int
    cleared: dict[str, int]


def read(folder: Path, partition: str, settings: RowSettings = DEFAULTS) -> Catalogue:
    """Return what is in a catalogue folder for `partition`; says in the log which optional files are missing.

    Raises BrokenInput when books.csv is missing, lacks a column, or repeats an id.
    """
    path = goodbooks.found(folder, goodbooks.BOOKS)
    if path is None:
        where = str(folder / goodbooks.BOOKS)
        raise BrokenInput("books.csv is missing", where, "land the drops again")
    others = {name: _other(folder, name) for name in goodbooks.OPTIONAL}
    found = _books(path, partition, settings)
    if found.cleared:
        text = ", ".join(f"{count} of {column}" for column, count in found.cleared.items())
        _log.warning("cells of %s that cannot be shown as they are: %s", path, text)
    books = found.cards
    to_read, to_read_dropped = _to_read(
        others[goodbooks.TO_READ], books[BOOK_ID], settings.leave_out_users
    )
    done = (
        books.join(to_read.group_by(BOOK_ID).len(TO_READ_COUNT), on=BOOK_ID, how="left")
        .join(
            _genres(others[goodbooks.TAGS], others[goodbooks.BOOK_TAGS], books),
            on=BOOK_ID,
            how="left",
        )
        .with_columns(
            pl.col(TO_READ_COUNT).fill_null(0).cast(pl.Int32),
            pl.col(GENRES).fill_null(pl.lit([], pl.List(pl.String))),
        )
        .sort(BOOK_ID)
    )
    return Catalogue(
        done.select(BOOKS.names), to_read.select(TO_READ.names), to_read_dropped, found.cleared
    )


def curated() -> dict[str, str]:
    """Return the genre of each tag name that is one."""
    content = tomllib.loads(GENRES_FILE.read_text(encoding="utf-8"))
    return {tag: genre for genre, tags in content["genres"].items() for tag in [genre, *tags]}


def _books(path: Path, partition: str, settings: RowSettings) -> display.Cleared:
    """Return the cards without genres and `to_read` rows, in file order."""
    raw = goodbooks.read_books(path)
    ids = numbers.whole(raw[BOOK_ID])
    _require_ids(ids, path)
    latest = int(partition[:4]) + display.YEARS_AHEAD
    found = display.clean(raw, ids.cast(pl.Int32), settings.earliest_year, latest)
    return replace(found, cards=found.cards.with_columns(numbers.whole(raw[GOODREADS_BOOK_ID])))


def _require_ids(ids: pl.Series, path: Path) -> None:
    bad = int((~ids.is_between(1, _GREATEST_ID)).fill_null(value=True).sum())
    repeated = ids.drop_nulls().len() - ids.drop_nulls().n_unique()
    if bad or repeated:
        raise BrokenInput(
            f"{bad} books without a valid id, {repeated} ids that come again",
            str(path),
            "repair the file or fetch it again",
        )


def _other(folder: Path, name: str) -> pl.DataFrame | None:
    """Return the rows of an optional file, or None; says in the log what is missing then."""
    path = goodbooks.found(folder, name)
    if path is None:
        _log.warning("no %s in %s: %s", name, folder, _WITHOUT[name])
        return None
    rows = goodbooks.read_other(path)
    if rows.is_empty():
        _log.warning("%s in %s has a header and no rows: %s", name, folder, _WITHOUT[name])
        return None
    return rows


def _to_read(
    raw: pl.DataFrame | None, known: pl.Series, left_out: tuple[int, ...]
) -> tuple[pl.DataFrame, int]:
    if raw is None:
        return pl.DataFrame(schema={USER_ID: pl.Int32, BOOK_ID: pl.Int32}), 0
    to_read = (
        raw.select(numbers.whole(column) for column in raw)
        .drop_nulls()
        .filter(pl.col(BOOK_ID).is_in(known.cast(pl.Int64).implode()))
        .filter(pl.col(USER_ID).is_between(1, _GREATEST_ID), ~pl.col(USER_ID).is_in(left_out))
        .unique()
        .sort(USER_ID, BOOK_ID)
        .cast(pl.Int32)
    )
    return to_read, raw.height - to_read.height


def _genres(
    tags: pl.DataFrame | None, used: pl.DataFrame | None, books: pl.DataFrame
) -> pl.DataFrame:
    """Return BOOK_ID and GENRES of the books that have any."""
    if tags is None or used is None:
        return pl.DataFrame(schema={BOOK_ID: pl.Int32, GENRES: pl.List(pl.String)})
    known = curated()
    name = pl.col("tag_name").str.strip_chars().str.to_lowercase()
    names = (
        tags.with_columns(numbers.whole(tags["tag_id"]), name)
        .filter(pl.col("tag_name").is_in(list(known)))
        .with_columns(
            pl.col("tag_name").replace_strict(known, return_dtype=pl.String).alias("genre")
        )
    )
    return (
        used.select(numbers.whole(column) for column in used)
        .join(names, on="tag_id")
        .filter(pl.col("count") > 0)  # some counts upstream are negative
        .group_by(GOODREADS_BOOK_ID, "genre")
        .agg(pl.col("count").sum())
        .filter(pl.col("count") >= _GENRE_SHARE * pl.col("count").max().over(GOODREADS_BOOK_ID))
        .sort([GOODREADS_BOOK_ID, "count", "genre"], descending=[False, True, False])
        .group_by(GOODREADS_BOOK_ID, maintain_order=True)
        .agg(pl.col("genre").head(_MOST_GENRES).alias(GENRES))
        .join(books.select(BOOK_ID, GOODREADS_BOOK_ID), on=GOODREADS_BOOK_ID)
        .select(BOOK_ID, GENRES)
    )
