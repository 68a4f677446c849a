"""Small Goodbooks folders written out by hand, landed and extracted by the commands."""

import sys
from pathlib import Path

import polars as pl
import pytest

from tests.harness.command_line import Result, run

#: The command as a process of its own.
NIGHTSHELF = (
    sys.executable,
    "-c",
    "import sys; from jobs.cli.main import main; main(sys.argv[1:])",
)
HEADER = "user_id,book_id,rating\n"
DAYS = ("--from", "2026-01-01", "--to", "2026-01-04")
LAST_DAY = "2026-01-04"
BOOKS = "book_id,goodreads_book_id,authors,original_publication_year,title\n" + "".join(
    f"{book},{100 + book},Somebody,1999.0,Book {book}\n" for book in range(1, 6)
)

#: Forty good rows without a repeated pair: ten users read books 1 to 4 in turn, sorted neither by user nor by book.
ROWS = "".join(
    f"{1 + n % 10},{1 + n % 4 if n < 20 else 1 + (n + 1) % 4},{3 + n % 3}\n" for n in range(40)
)


def folder(parent: Path, ratings: str | bytes, books: str = BOOKS) -> Path:
    """Write a Goodbooks folder below `parent` and return it."""
    source = parent / "source"
    source.mkdir(exist_ok=True)
    content = ratings.encode() if isinstance(ratings, str) else ratings
    (source / "ratings.csv").write_bytes(content)
    (source / "books.csv").write_text(books, encoding="utf-8")
    return source


def replay(capsys: pytest.CaptureFixture[str], source: Path, *more: object) -> Result:
    """Land a folder on the first four days of 2026."""
    return run(capsys, "replay", "--source", source, *DAYS, *more)


def extract(capsys: pytest.CaptureFixture[str], day: str = LAST_DAY, *more: object) -> Result:
    """Extract the release of a day."""
    return run(capsys, "extract", "--partition", day, *more)


def table(artifacts: Path, release: str, name: str) -> pl.DataFrame:
    """Return a table of a release."""
    return pl.read_parquet(artifacts / "releases" / release / f"{name}.parquet")


def drop(artifacts: Path, day: str = LAST_DAY) -> Path:
    """Return the file that replay lands on a day."""
    return artifacts / "drops" / "ratings" / f"ds={day}" / "part-0.parquet"
