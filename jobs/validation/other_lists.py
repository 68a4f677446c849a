"""What is expected of the lists that are the same for everybody: popularity and similar books.

In: `popularity.parquet`, `similar.parquet`, and the interactions and books they were made for. Out: suites on one row
a list. Guarantees that every entry of every list is looked at.
"""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from jobs.validation import listing, summary
from jobs.validation.check import ALL_TRUE, Suite, between, values_in
from jobs.validation.listing import Base, Given
from schemas.tables import ALL_BOOKS, BOOK_ID, GENRES, TAG

_MISSING_BOOKS = "missing_books"
_OTHER_GENRE = "books_of_another_genre"
_ITSELF = "itself"
_KNOWN = "known"
_BOOK = "book"


def popularity_suites(
    table: pa.Table, books: pa.Table, base: Base, given: Given
) -> tuple[Suite, ...]:
    """Return the suites on the popularity lists, which passed the gates; `books` are the cards."""
    found = summary.entries(table)
    frame = summary.of(found, base.catalogue)
    members = _members(books)
    wanted = members.filter(pl.col(_BOOK).is_in(np.unique(base.books))).group_by(TAG).len("most")
    tags = pl.DataFrame({TAG: pl.Series(table[TAG].to_pylist(), dtype=pl.String)})
    most = tags.join(wanted, on=TAG, how="left", maintain_order="left")["most"].fill_null(0)
    frame[TAG] = tags[TAG].to_list()
    frame[_MISSING_BOOKS] = np.minimum(most.to_numpy(), given.list_length) - frame[summary.LENGTH]
    held = pl.DataFrame({TAG: tags[TAG].gather(found.owners), _BOOK: found.books})
    other = held.with_row_index("entry").join(members, on=[TAG, _BOOK], how="anti")["entry"]
    frame[_OTHER_GENRE] = np.bincount(found.owners[other.to_numpy()], minlength=len(frame))
    whole = pd.DataFrame({"lists_of_all_books": [int((tags[TAG] == ALL_BOOKS).sum())]})
    text = "There is one popularity list of all books"
    return (
        Suite(
            "popularity of all books",
            whole,
            (between("popularity_of_all", text, "lists_of_all_books", 1, 1),),
        ),
        Suite(
            "popularity",
            frame,
            (
                listing.unique(
                    "popularity_tags", "No tag has two popularity lists", TAG, "lists share a tag"
                ),
                listing.none(
                    "popularity_length",
                    f"Every popularity list has {given.list_length} books, fewer only if fewer of "
                    "its books have ratings",
                    _MISSING_BOOKS,
                    "lists are longer or shorter",
                ),
                listing.none(
                    "popularity_genres",
                    "Every book of a tag's list has that genre",
                    _OTHER_GENRE,
                    "lists hold other books",
                ),
                *listing.entry_checks("popularity", "popularity lists"),
                listing.order_check("popularity", "popularity lists"),
            ),
            key=TAG,
        ),
    )


def similar_suites(table: pa.Table, base: Base, given: Given) -> tuple[Suite, ...]:
    """Return the suites on the similar-books lists, which passed `gates`."""
    found = summary.entries(table)
    frame = summary.of(found, base.catalogue)
    owners = table[BOOK_ID].to_numpy()
    frame[BOOK_ID] = owners
    frame[_KNOWN] = np.isin(owners, base.catalogue)
    # A book's neighbours are the other books that have a list.
    most = min(given.similar_length, table.num_rows - 1)
    frame[_MISSING_BOOKS] = most - frame[summary.LENGTH]
    frame[_ITSELF] = found.count(found.books == owners[found.owners])
    checks = (
        listing.unique(
            "similar_unique", "No book has two similar lists", BOOK_ID, "lists share a book"
        ),
        values_in(
            "similar_known",
            "Every similar list belongs to a book of the catalogue",
            _KNOWN,
            ALL_TRUE,
            "lists belong to an unknown book",
        ),
        listing.none(
            "similar_length",
            f"Every similar list has {most} books",
            _MISSING_BOOKS,
            "lists are longer or shorter",
        ),
        listing.none(
            "similar_itself", "No book is similar to itself", _ITSELF, "lists hold their own book"
        ),
    )
    return (
        Suite(
            "similar",
            frame,
            (
                *checks,
                *listing.entry_checks("similar", "similar lists"),
                listing.order_check("similar", "similar lists"),
            ),
            key=BOOK_ID,
        ),
    )


def _members(books: pa.Table) -> pl.DataFrame:
    """Return which (tag, book) belong together; every book belongs to ALL_BOOKS."""
    cards = pl.DataFrame(books.select([BOOK_ID, GENRES])).rename({BOOK_ID: _BOOK, GENRES: TAG})
    of_genre = cards.explode(TAG).drop_nulls(TAG).select(TAG, _BOOK)
    of_all = cards.select(pl.lit(ALL_BOOKS).alias(TAG), _BOOK)
    return pl.concat([of_genre, of_all])
