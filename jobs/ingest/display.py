"""The columns of books.csv that are only shown: cleaned, never a reason to lose a book.

In: title, authors, language and year as text. Out: the columns of cards, and how many cells of each were cleared.
Control characters (but for tabs and line ends) and marks that turn the direction of text become a space; a book without
a title is named by its id; a year that is no integer, or lies outside the bounds, is left out. A missing year,
language or author does not count.
"""

from dataclasses import dataclass

import polars as pl

from jobs.ingest import goodbooks, numbers
from schemas.tables import AUTHORS, BOOK_ID, LANGUAGE, TITLE, YEAR

#: Books announced for the years after the partition's own are real.
YEARS_AHEAD = 2

_BAD_SIGNS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]"
#: What programs write for a missing number.
_MISSING = ("", "nan", "null", "none", "na", "n/a", "<na>", "\\n")


@dataclass(frozen=True)
class Cleared:
    """BOOK_ID, TITLE, AUTHORS, YEAR and LANGUAGE of cards; `cleared` counts cells by column, where there are any."""

    cards: pl.DataFrame
    cleared: dict[str, int]


def clean(raw: pl.DataFrame, ids: pl.Series, earliest_year: int, latest_year: int) -> Cleared:
    """Return the shown columns of `raw` (as `goodbooks.read_books` gives it) for books with these ids."""
    texts = raw.select(
        pl.col("title").fill_null("").alias(TITLE),
        pl.col("authors").fill_null("").alias(AUTHORS),
        pl.col(goodbooks.LANGUAGE_CODE).alias(LANGUAGE),
    )
    bad = texts.select(pl.all().str.contains(_BAD_SIGNS).fill_null(value=False))
    shown = texts.select(pl.all().str.replace_all(_BAD_SIGNS, " ").str.strip_chars())
    untitled = shown[TITLE] == ""
    year = numbers.whole(raw[goodbooks.PUBLISHED])
    year = year.set(~year.is_between(earliest_year, latest_year), None)
    given = ~raw[goodbooks.PUBLISHED].fill_null("").str.strip_chars().str.to_lowercase().is_in(
        _MISSING
    )
    counts = {
        TITLE: bad[TITLE] | untitled,
        AUTHORS: bad[AUTHORS],
        LANGUAGE: bad[LANGUAGE],
        YEAR: given & year.is_null(),
    }
    author = pl.element().str.strip_chars()
    cards = shown.select(
        ids.alias(BOOK_ID),
        pl.when(untitled).then(pl.format("Book {}", ids)).otherwise(TITLE).alias(TITLE),
        pl.col(AUTHORS).str.split(",").list.eval(author.filter(author != "")),
        year.cast(pl.Int32).alias(YEAR),
        pl.col(LANGUAGE).replace("", None),
    )
    return Cleared(cards, {name: int(found.sum()) for name, found in counts.items() if found.any()})
