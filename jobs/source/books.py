"""Book cards and wishes from the catalogue files.

In: `books.csv` of either edition and, where they are there, `tags.csv`, `book_tags.csv`, `to_read.csv`. Out: one card a
book with authors, year and curated genres, and the undated wishes of users. Guarantees unique book ids and a
title on every card; of 34,252 tags only those in `genres.toml` become genres, since most are shelf names.
"""

import tomllib
from pathlib import Path

import polars as pl

from jobs.runtime.errors import BrokenInput
from jobs.source import goodbooks
from schemas.tables import (
    AUTHORS,
    BOOK_ID,
    BOOKS,
    GENRES,
    GOODREADS_BOOK_ID,
    LANGUAGE,
    TITLE,
    TO_READ,
    TO_READ_COUNT,
    USER_ID,
    YEAR,
)

GENRES_FILE = Path(__file__).with_name("genres.toml")

#: A card shows the genres that at least this share of its most used genre's readers chose.
_GENRE_SHARE = 0.1
_MOST_GENRES = 5
_GREATEST_ID = 2**31 - 1


def cards(catalogue: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (BOOKS, TO_READ) of a catalogue folder.

    Raises BrokenInput when books.csv is missing, lacks a column, or repeats an id.
    """
    path = catalogue / goodbooks.BOOKS
    if not path.is_file():
        raise BrokenInput("books.csv is missing", str(path), "land the drops again")
    first_edition = "id" in goodbooks.header(path)
    id_column, goodreads_column = ("id", BOOK_ID) if first_edition else (BOOK_ID, GOODREADS_BOOK_ID)
    needed = (id_column, goodreads_column, "authors", "original_publication_year", "title")
    optional = [column for column in ("language_code",) if column in goodbooks.header(path)]
    raw = goodbooks.read(path, (*needed, *optional))
    books = raw.select(
        _whole(id_column).alias(BOOK_ID),
        _whole(goodreads_column).alias(GOODREADS_BOOK_ID),
        pl.col("title").fill_null("").str.strip_chars().alias(TITLE),
        pl.col("authors").fill_null("").str.split(",").alias(AUTHORS),
        _whole("original_publication_year").cast(pl.Int32).alias(YEAR),
        (pl.col("language_code") if optional else pl.lit(None, pl.String)).alias(LANGUAGE),
    )
    _require_ids(books, path)
    wishes = _wishes(catalogue / "to_read.csv", books[BOOK_ID])
    counts = wishes.group_by(BOOK_ID).len(TO_READ_COUNT)
    genres = _genres(catalogue, books)
    done = (
        books.with_columns(
            pl.col(AUTHORS).list.eval(pl.element().str.strip_chars()),
            pl.when(pl.col(TITLE) == "")
            .then(pl.format("Book {}", BOOK_ID))
            .otherwise(pl.col(TITLE))
            .alias(TITLE),
        )
        .join(counts, on=BOOK_ID, how="left")
        .join(genres, on=BOOK_ID, how="left")
        .with_columns(
            pl.col(TO_READ_COUNT).fill_null(0).cast(pl.Int32),
            pl.col(GENRES).fill_null(pl.lit([], pl.List(pl.String))),
            pl.col(BOOK_ID).cast(pl.Int32),
        )
        .sort(BOOK_ID)
    )
    return done.select(BOOKS.names), wishes.select(TO_READ.names)


def curated() -> dict[str, str]:
    """Return the genre of each tag name that is one."""
    content = tomllib.loads(GENRES_FILE.read_text(encoding="utf-8"))
    return {tag: genre for genre, tags in content["genres"].items() for tag in [genre, *tags]}


def count_rows(path: Path) -> int:
    """Return the number of lines after the header of a csv file."""
    return max(path.read_bytes().count(b"\n") - 1, 0)


def _whole(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)


def _require_ids(books: pl.DataFrame, path: Path) -> None:
    bad = books.filter(~pl.col(BOOK_ID).is_between(1, _GREATEST_ID).fill_null(value=False))
    repeated = books.filter(pl.col(BOOK_ID).is_duplicated())
    if bad.height or repeated.height:
        what = f"{bad.height} books without a valid id, {repeated.height} rows with a repeated id"
        raise BrokenInput(what, str(path), "repair or fetch the file again")


def _wishes(path: Path, known: pl.Series) -> pl.DataFrame:
    if not path.is_file():
        return pl.DataFrame(schema={USER_ID: pl.Int32, BOOK_ID: pl.Int32})
    return (
        goodbooks.read(path, (USER_ID, BOOK_ID))
        .select(pl.col(USER_ID, BOOK_ID).cast(pl.Int64, strict=False))
        .drop_nulls()
        .filter(pl.col(BOOK_ID).is_in(known.implode()))
        .filter(pl.col(USER_ID).is_between(1, _GREATEST_ID))
        .unique()
        .sort(USER_ID, BOOK_ID)
        .cast(pl.Int32)
    )


def _genres(catalogue: Path, books: pl.DataFrame) -> pl.DataFrame:
    tags, book_tags = catalogue / "tags.csv", catalogue / "book_tags.csv"
    if not (tags.is_file() and book_tags.is_file()):
        return pl.DataFrame(schema={BOOK_ID: pl.Int64, GENRES: pl.List(pl.String)})
    known = curated()
    names = (
        goodbooks.read(tags, ("tag_id", "tag_name"))
        .filter(pl.col("tag_name").is_in(list(known)))
        .with_columns(
            pl.col("tag_name").replace_strict(known, return_dtype=pl.String).alias("genre")
        )
    )
    return (
        goodbooks.read(book_tags, (GOODREADS_BOOK_ID, "tag_id", "count"))
        .join(names, on="tag_id")
        .with_columns(pl.col(GOODREADS_BOOK_ID, "count").cast(pl.Int64, strict=False))
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
