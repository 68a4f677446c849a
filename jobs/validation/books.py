"""What is expected of a release's book cards.

In: `books.parquet`, whether the source has tags, how many cells extract cleared, the number of books of the reference
release. Out: suites. Guarantees that every card is looked at, and that columns which are only shown stop a day only
above a share.
"""

from dataclasses import dataclass, field
from math import ceil, floor

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from jobs.ingest.display import YEARS_AHEAD
from jobs.validation import columns
from jobs.validation.bounds import Bounds
from jobs.validation.check import Check, Suite, between
from jobs.validation.texts import number, percent
from schemas.tables import AUTHORS, BOOK_ID, BOOKS, GENRES, LANGUAGE, TITLE, YEAR

_HAS_GENRES = "has_genres"
_CLEARED = {
    TITLE: "no title, or one with control characters",
    AUTHORS: "authors with control characters",
    LANGUAGE: "a language with control characters",
    YEAR: "a year that is no number or impossible (it is left out)",
}


@dataclass(frozen=True)
class Given:
    """What the books of `partition` are validated with.

    `reference` is the number of books of another release, `cleared` counts the cells that extract cleared, by column.
    """

    partition: str
    has_tags: bool
    bounds: Bounds
    reference: int | None
    cleared: dict[str, int] = field(default_factory=dict)


def gates(table: pa.Table) -> tuple[Suite, ...]:
    """Return the suites without which nothing else can be validated: the columns, and at least one book."""
    check = between("books_rows", "There is at least one book", "rows", 1, None)
    rows = pd.DataFrame({"rows": [table.num_rows]})
    return (
        columns.suite("books", table, BOOKS),
        Suite("books rows", rows, (check,), gate=True),
    )


def suites(table: pa.Table, given: Given) -> tuple[Suite, ...]:
    """Return the suites on a table that passed `gates`."""
    frame = table.select([BOOK_ID, TITLE, YEAR]).to_pandas()
    frame[_HAS_GENRES] = pc.greater(pc.list_value_length(table[GENRES]), 0).to_numpy()
    checks = [*_card_checks(given)]
    if given.has_tags:
        checks.append(_genres(given.bounds.genres_min_share))
    if given.reference is not None:
        checks.append(_count(given.reference, given.bounds))
    return (Suite("books", frame, tuple(checks), key=BOOK_ID), _shown(table.num_rows, given))


def _shown(books: int, given: Given) -> Suite:
    """Return the suite on what extract cleared; one cell is always allowed, as small catalogues have to live too."""
    share = given.bounds.cleared_max_share
    most = max(1, floor(share * books)) if share else 0
    columns_shown = (TITLE, AUTHORS, LANGUAGE, YEAR)
    checks = tuple(
        between(
            f"{column}_cleared",
            f"At most {percent(share)} of the {number(books)} books have {_CLEARED[column]}",
            column,
            0,
            most,
        )
        for column in columns_shown
    )
    counts = {column: [given.cleared.get(column, 0)] for column in columns_shown}
    return Suite("books as shown", pd.DataFrame(counts), checks)


def _card_checks(given: Given) -> tuple[Check, ...]:
    latest = int(given.partition[:4]) + YEARS_AHEAD
    return (
        Check(
            "unique_book_ids",
            "No two cards have the same book id",
            "expect_column_values_to_be_unique",
            {"column": BOOK_ID},
            "cards share an id",
        ),
        Check(
            "book_id_range",
            "The smallest book id is at least 1",
            "expect_column_min_to_be_between",
            {"column": BOOK_ID, "min_value": 1},
        ),
        Check(
            "titles",
            "Every card has a title",
            "expect_column_values_to_match_regex",
            {"column": TITLE, "regex": r"\S"},
            "titles are empty",
        ),
        Check(
            "year_range",
            f"Every known year of publication lies between {given.bounds.earliest_year} and {latest}",
            "expect_column_values_to_be_between",
            {"column": YEAR, "min_value": given.bounds.earliest_year, "max_value": latest},
            "cards have another year",
        ),
    )


def _genres(least: float) -> Check:
    return Check(
        "genre_share",
        f"At least {percent(least)} of the books have a genre, since the source has tags",
        "expect_column_mean_to_be_between",
        {"column": _HAS_GENRES, "min_value": least, "max_value": 1.0},
        measure="share",
    )


def _count(reference: int, bounds: Bounds) -> Check:
    low, high = bounds.books_min_ratio, bounds.books_max_ratio
    return Check(
        "books_ratio",
        f"There are {low:g} to {high:g} times as many books as the reference's {number(reference)}",
        "expect_table_row_count_to_be_between",
        {"min_value": ceil(low * reference), "max_value": floor(high * reference)},
        "books",
    )
