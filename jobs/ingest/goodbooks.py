"""A Goodbooks folder as it is found: either public edition.

In: a folder with `ratings.csv` and `books.csv`, optionally `tags.csv`, `book_tags.csv` and `to_read.csv`, each plain or
packed as `.csv.gz`. Out: the files and the edition; the ratings as text. A folder without ratings or books, with both
forms of one file, or with ratings that hold no row, is refused with the file's name.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobs.ingest import csv_file
from jobs.runtime.errors import BrokenInput
from schemas.tables import BOOK_ID, GOODREADS_BOOK_ID, RATING, USER_ID

RATINGS = "ratings.csv"
BOOKS = "books.csv"
TAGS = "tags.csv"
BOOK_TAGS = "book_tags.csv"
TO_READ = "to_read.csv"
OPTIONAL = (TAGS, BOOK_TAGS, TO_READ)

PUBLISHED = "original_publication_year"
LANGUAGE_CODE = "language_code"

#: In the first edition's books.csv `id` is what ratings call book_id, and `book_id` is Goodreads' own number.
FIRST_EDITION_ID = "id"

_PACKED = ".gz"
#: The numeric columns that the smaller files need.
_NUMERIC = {
    TAGS: ("tag_id",),
    BOOK_TAGS: (GOODREADS_BOOK_ID, "tag_id", "count"),
    TO_READ: (USER_ID, BOOK_ID),
}


@dataclass(frozen=True)
class Goodbooks:
    """A folder whose files were found; `edition` is "current" or "first".

    `encoding` is that of the files that are not UTF-8.
    """

    folder: Path
    edition: str
    ratings: Path
    books: Path
    others: tuple[Path, ...]
    encoding: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, the ratings first."""
        return (self.ratings, self.books, *self.others)


def plain_name(path: Path) -> str:
    """Return the name of a file without the ending of a packed one: `books.csv` for `books.csv.gz`."""
    return path.name.removesuffix(_PACKED)


def find(folder: Path, encoding: str | None = None) -> Goodbooks:
    """Return the Goodbooks files in `folder`.

    Raises BrokenInput when ratings or books are missing, or a file is there in both forms.
    """
    if not folder.is_dir():
        raise BrokenInput("no such folder", str(folder), "name a folder with a Goodbooks download")
    ratings, books = _needed(folder, RATINGS), _needed(folder, BOOKS)
    others = tuple(path for name in OPTIONAL if (path := found(folder, name)) is not None)
    edition = "first" if FIRST_EDITION_ID in csv_file.header(books, encoding) else "current"
    return Goodbooks(folder, edition, ratings, books, others, encoding)


def found(folder: Path, name: str) -> Path | None:
    """Return the file of this name, plain or packed; None without one. Raises BrokenInput when both are there."""
    paths = [path for path in (folder / name, folder / f"{name}{_PACKED}") if path.is_file()]
    if len(paths) > 1:
        raise BrokenInput(
            f"{name} and {name}{_PACKED} are both there",
            str(folder),
            "remove the one that is not meant",
        )
    return paths[0] if paths else None


def read_ratings(source: Goodbooks) -> pl.DataFrame:
    """Return user_id, book_id and rating as text in file order. Raises BrokenInput, also for no rows at all."""
    columns = (USER_ID, BOOK_ID, RATING)
    frame = csv_file.read(source.ratings, columns, source.encoding, numeric=columns)
    if frame.is_empty():
        raise BrokenInput(
            f"{source.ratings.name} has a header and no ratings",
            str(source.ratings),
            "fetch it again; upstream's file has 5,976,479 rows",
        )
    return frame


def read_books(path: Path, encoding: str | None = None) -> pl.DataFrame:
    """Return the columns of books.csv that cards are made of, as text.

    In either edition BOOK_ID is what ratings call so. Raises BrokenInput when a column is missing or given twice.
    """
    names = csv_file.header(path, encoding)
    first_edition = FIRST_EDITION_ID in names
    ids = (FIRST_EDITION_ID, BOOK_ID) if first_edition else (BOOK_ID, GOODREADS_BOOK_ID)
    needed = (*ids, "authors", PUBLISHED, "title")
    optional = [LANGUAGE_CODE] if LANGUAGE_CODE in names else []
    frame = csv_file.read(path, (*needed, *optional), encoding, numeric=(*ids, PUBLISHED))
    if frame.is_empty():
        what = f"{path.name} has a header and no books"
        raise BrokenInput(what, str(path), "fetch it again, or add the books that are rated")
    return frame.select(
        pl.col(ids[0]).alias(BOOK_ID),
        pl.col(ids[1]).alias(GOODREADS_BOOK_ID),
        "authors",
        PUBLISHED,
        "title",
        pl.col(LANGUAGE_CODE) if optional else pl.lit(None, pl.String).alias(LANGUAGE_CODE),
    )


def read_other(path: Path, encoding: str | None = None) -> pl.DataFrame:
    """Return the needed columns of tags.csv, book_tags.csv or to_read.csv, as text. Raises BrokenInput."""
    name = plain_name(path)
    numeric = _NUMERIC[name]
    columns = (*numeric, "tag_name") if name == TAGS else numeric
    return csv_file.read(path, columns, encoding, numeric=numeric)


def _needed(folder: Path, name: str) -> Path:
    path = found(folder, name)
    if path is None:
        raise BrokenInput(
            f"{name} is missing", str(folder / name), "fetch the release again, or add the file"
        )
    return path
