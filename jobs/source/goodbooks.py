"""A Goodbooks folder as it is found: either public edition.

In: a folder with `ratings.csv` (or `ratings.csv.gz`) and `books.csv`, optionally `tags.csv`, `book_tags.csv` and
`to_read.csv`. Out: the files and the edition; the ratings as text. Guarantees that a folder without ratings or
books, or with ratings that hold no row, is refused with the file's name.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobs.runtime.errors import BrokenInput
from jobs.source import csv_file
from schemas.tables import BOOK_ID, RATING, USER_ID

RATINGS = "ratings.csv"
PACKED_RATINGS = "ratings.csv.gz"
BOOKS = "books.csv"
TAGS = "tags.csv"
BOOK_TAGS = "book_tags.csv"
TO_READ = "to_read.csv"
OPTIONAL = (TAGS, BOOK_TAGS, TO_READ)

#: In the first edition's books.csv `id` is what ratings call book_id, and `book_id` is Goodreads' own number.
FIRST_EDITION_ID = "id"


@dataclass(frozen=True)
class Goodbooks:
    """A folder whose files were found; `edition` is "current" or "first"."""

    folder: Path
    edition: str
    ratings: Path
    books: Path
    others: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, the ratings first."""
        return (self.ratings, self.books, *self.others)


def find(folder: Path) -> Goodbooks:
    """Return the Goodbooks files in `folder`. Raises BrokenInput when ratings or books are missing."""
    if not folder.is_dir():
        raise BrokenInput("no such folder", str(folder), "name a folder with a Goodbooks download")
    packed = folder / PACKED_RATINGS
    ratings = packed if packed.is_file() else folder / RATINGS
    books = folder / BOOKS
    for path in (ratings, books):
        if not path.is_file():
            raise BrokenInput(
                f"{path.name} is missing", str(path), "fetch the release again, or add the file"
            )
    others = tuple(folder / name for name in OPTIONAL if (folder / name).is_file())
    edition = "first" if FIRST_EDITION_ID in csv_file.header(books) else "current"
    return Goodbooks(folder, edition, ratings, books, others)


def read_ratings(source: Goodbooks) -> pl.DataFrame:
    """Return user_id, book_id and rating as text in file order. Raises BrokenInput, also for no rows at all."""
    frame = csv_file.read(source.ratings, (USER_ID, BOOK_ID, RATING))
    if frame.is_empty():
        raise BrokenInput(
            f"{source.ratings.name} has a header and no ratings",
            str(source.ratings),
            "fetch it again; upstream's file has 5,976,479 rows",
        )
    return frame
