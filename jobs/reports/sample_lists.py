"""What users will see: shelves beside lists, and the books that are pushed most.

In: lists, rows and book cards of a release and the lists of its reference. Out: titles for the page. Guarantees that
the same release shows the same users: they are picked evenly along the length of their histories.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.table_files import read_table
from schemas.tables import AUTHORS, BOOK_ID, BOOK_IDS, RATING, SOURCE, TITLE, USER_ID

_SHOWN_USERS = 20
_SHOWN = 8
_TOP = 10
_PUSHED = 20


@dataclass(frozen=True)
class Book:
    """A title on the page; `rating` of a read book; `fresh`: the reference's top 10 did not have it."""

    title: str
    author: str
    rating: int | None = None
    fresh: bool = False


@dataclass(frozen=True)
class ShownUser:
    """A user: the newest ratings, and the first places of the new list."""

    user_id: int
    ratings: int
    source: str
    shelf: tuple[Book, ...]
    listed: tuple[Book, ...]


@dataclass(frozen=True)
class Pushed:
    """A book and how it is shown: shares of all top 10s it stands in, `rank` by number of ratings."""

    book: Book
    share: float
    before: float | None
    rank: int


@dataclass(frozen=True)
class Shown:
    """Users and books; `changes` are counts against the reference, None without one."""

    users: tuple[ShownUser, ...]
    pushed: tuple[Pushed, ...]
    changes: list[tuple[str, str]] | None


def of(folder: ReleaseFolder, reference: ReleaseFolder | None) -> Shown:
    """Return what the page shows of the lists. Raises BrokenInput when recommend has not finished."""
    lists = _top(folder)
    before = _top(reference) if reference else None
    rows = read_table(folder.interactions, "extract", [USER_ID, BOOK_ID, RATING])
    cards = {
        book: Book(title, authors[0] if authors else "")
        for book, title, authors in read_table(
            folder.books, "extract", [BOOK_ID, TITLE, AUTHORS]
        ).rows()
    }
    return Shown(
        users=_users(rows, lists, before, cards),
        pushed=_pushed(rows, lists, before, cards),
        changes=_changes(lists, before) if before is not None else None,
    )


def _top(folder: ReleaseFolder) -> pl.DataFrame:
    lists = read_table(folder.lists, "recommend", [USER_ID, SOURCE, BOOK_IDS])
    return lists.with_columns(pl.col(BOOK_IDS).list.head(_TOP))


def _users(
    rows: pl.DataFrame, lists: pl.DataFrame, before: pl.DataFrame | None, cards: dict[int, Book]
) -> tuple[ShownUser, ...]:
    lengths = rows.group_by(USER_ID).len().sort("len", USER_ID)
    places = np.unique(np.linspace(0, max(lengths.height - 1, 0), _SHOWN_USERS).astype(int))
    found = []
    for user_id, ratings in lengths[places].rows() if lengths.height else []:
        mine = rows.filter(pl.col(USER_ID) == user_id).tail(_SHOWN).reverse()
        listed = lists.row(by_predicate=pl.col(USER_ID) == user_id, named=True)
        old = _list_of(before, user_id) if before is not None else None
        found.append(
            ShownUser(
                user_id=user_id,
                ratings=ratings,
                source=listed[SOURCE],
                shelf=tuple(
                    Book(cards[book].title, cards[book].author, rating)
                    for book, rating in mine.select(BOOK_ID, RATING).rows()
                ),
                listed=tuple(
                    Book(
                        cards[book].title,
                        cards[book].author,
                        fresh=old is not None and book not in old,
                    )
                    for book in listed[BOOK_IDS][:_SHOWN]
                ),
            )
        )
    return tuple(found)


def _list_of(lists: pl.DataFrame, user_id: int) -> list[int] | None:
    found = lists.filter(pl.col(USER_ID) == user_id)[BOOK_IDS].to_list()
    return list(found[0]) if found else None


def _shares(lists: pl.DataFrame) -> dict[int, float]:
    counted = lists.select(pl.col(BOOK_IDS).explode()).to_series().value_counts()
    return {book: count / max(lists.height, 1) for book, count in counted.rows()}


def _pushed(
    rows: pl.DataFrame, lists: pl.DataFrame, before: pl.DataFrame | None, cards: dict[int, Book]
) -> tuple[Pushed, ...]:
    counts = rows.group_by(BOOK_ID).len().sort("len", BOOK_ID, descending=[True, False])
    ranks = {book: rank for rank, book in enumerate(counts[BOOK_ID].to_list(), start=1)}
    shares = _shares(lists)
    old = _shares(before) if before is not None else None
    most = sorted(shares, key=lambda book: (-shares[book], book))[:_PUSHED]
    return tuple(
        Pushed(
            cards[book],
            shares[book],
            old.get(book, 0.0) if old is not None else None,
            ranks.get(book, len(ranks) + 1),
        )
        for book in most
    )


def _changes(lists: pl.DataFrame, before: pl.DataFrame) -> list[tuple[str, str]]:
    both = lists.join(before, on=USER_ID, suffix="_before")
    common = pl.col(BOOK_IDS).list.set_intersection(f"{BOOK_IDS}_before").list.len()
    kept = float(both.select(common.sum()).item()) / max(both.height, 1)
    same = both.filter(pl.col(BOOK_IDS) == pl.col(f"{BOOK_IDS}_before")).height
    return [
        ("Users in both releases", f"{both.height:,}"),
        ("Users only in this one", f"{lists.height - both.height:,}"),
        ("Books of the old top 10 kept, mean", f"{kept:.1f} of {_TOP}"),
        ("Users whose top 10 is unchanged", f"{same:,}"),
    ]
