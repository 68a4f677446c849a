"""Small catalogues for tests: cards as extract writes them, from titles and first authors."""

import polars as pl

from jobs.model import metadata
from jobs.model.metadata import Metadata
from schemas import tables


def cards(books: list[tuple[str, str | None]], genre: str = "fiction") -> pl.DataFrame:
    """Return cards of (title, author) with ids from 1 on; the author None is none."""
    ids = list(range(1, len(books) + 1))
    return pl.DataFrame(
        {
            tables.BOOK_ID: ids,
            tables.TITLE: [title for title, _ in books],
            tables.AUTHORS: [[author] if author else [] for _, author in books],
            tables.LANGUAGE: ["eng"] * len(books),
            tables.GENRES: [[genre] if genre else [] for _ in books],
        },
        schema_overrides={
            tables.BOOK_ID: pl.Int32,
            tables.AUTHORS: pl.List(pl.String),
            tables.GENRES: pl.List(pl.String),
        },
    )


def told(*books: tuple[str, str | None]) -> Metadata:
    """Return the metadata of (title, author) books, in order."""
    return metadata.of_cards(cards(list(books)))
