"""What is expected of the users' lists of a release.

In: `lists.parquet`, and the interactions and books it was made for. Out: suites on one row a list. Guarantees that
every entry of every list is looked at.
"""

from math import ceil, floor

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from jobs.validation import columns, listing, summary
from jobs.validation.check import ALL_TRUE, Check, Suite, between, values_in
from jobs.validation.listing import Base, Given
from jobs.validation.texts import number, percent
from schemas import sources
from schemas.tables import (
    LISTS,
    POPULARITY,
    SIMILAR,
    SOURCE,
    USER_ID,
)

#: With fewer users, equal lists say nothing.
_LEAST_USERS = 20

_MISSING_BOOKS = "missing_books"
_RATED_BOOKS = "rated_books"
_RATINGS = "ratings"
_HAS_LIST = "has_list"


def gates(lists: pa.Table, popular: pa.Table, similar: pa.Table) -> tuple[Suite, ...]:
    """Return the suites without which nothing else can be validated: the columns, and at least one list."""
    kinds = {"users": lists, "popularity": popular, "similar": similar}
    rows = pd.DataFrame({kind: [table.num_rows] for kind, table in kinds.items()})
    checks = tuple(
        between(f"{kind}_rows", f"There is at least one list ({kind})", kind, 1, None)
        for kind in kinds
    )
    return (
        columns.suite("lists", lists, LISTS),
        columns.suite("popularity lists", popular, POPULARITY),
        columns.suite("similar lists", similar, SIMILAR),
        Suite("lists rows", rows, checks, gate=True),
    )


def suites(table: pa.Table, base: Base, given: Given) -> tuple[Suite, ...]:
    """Return the suites on the users' lists, which passed `gates`."""
    found = summary.entries(table)
    frame = summary.of(found, base.catalogue)
    owners = table[USER_ID].to_numpy()
    users, ratings = np.unique(base.users, return_counts=True)
    place = np.minimum(np.searchsorted(users, owners), len(users) - 1)
    frame[USER_ID] = owners
    frame[SOURCE] = table[SOURCE].to_pandas()
    frame[_RATINGS] = np.where(users[place] == owners, ratings[place], 0)
    left = np.maximum(len(base.catalogue) - frame[_RATINGS].to_numpy(), 0)
    frame[_MISSING_BOOKS] = np.minimum(left, given.list_length) - frame[summary.LENGTH]
    frame[_RATED_BOOKS] = found.count(_is_rated(found, owners, base))
    everyone = pd.DataFrame({USER_ID: users, _HAS_LIST: np.isin(users, owners)})
    has_list = values_in(
        "every_user", "Every user with ratings has a list", _HAS_LIST, ALL_TRUE, "users have none"
    )
    return (
        Suite(
            "lists",
            frame,
            (
                *_user_checks(given),
                *listing.entry_checks("lists", "lists"),
                *((listing.order_check("lists", "lists"),) if given.by_score else ()),
            ),
            key=USER_ID,
        ),
        Suite("users", everyone, (has_list,), key=USER_ID),
        *_all_alike(found, given),
    )


def _user_checks(given: Given) -> tuple[Check, ...]:
    wanted = given.list_length
    checks = [
        listing.unique("one_list_a_user", "No user has two lists", USER_ID, "lists share a user"),
        Check(
            "users_of_lists",
            "Every list belongs to a user with ratings",
            "expect_column_values_to_not_be_in_set",
            {"column": _RATINGS, "value_set": [0]},
            "lists belong to nobody",
        ),
        listing.none(
            "lists_length",
            f"Every list has {wanted} books, fewer only if the user has rated all others",
            _MISSING_BOOKS,
            "lists are longer or shorter",
        ),
        listing.none(
            "no_rated_book",
            "No list holds a book that its user has rated",
            _RATED_BOOKS,
            "lists hold a rated book",
        ),
        values_in(
            "sources",
            f"The source of every list is {', '.join(sources.ENGINES)} or {sources.POPULARITY}",
            SOURCE,
            {"value_set": [*sources.ENGINES, sources.POPULARITY]},
            "lists have another source",
        ),
    ]
    if given.reference is not None:
        low, high = given.bounds.rows_min_ratio, given.bounds.rows_max_ratio
        before = given.reference
        checks.append(
            Check(
                "lists_ratio",
                f"There are {low:g} to {high:g} times as many lists as the reference's "
                f"{number(before)}",
                "expect_table_row_count_to_be_between",
                {"min_value": ceil(low * before), "max_value": floor(high * before)},
                "lists",
            )
        )
    return tuple(checks)


def _is_rated(found: summary.Entries, owners: NDArray[np.int32], base: Base) -> NDArray[np.bool_]:
    """Say of each entry whether its user has rated its book: one sort of packed pairs, then a search."""
    rated = summary.pairs(base.users, base.books)
    rated.sort()
    asked = summary.pairs(owners[found.owners], found.books)
    place = np.minimum(np.searchsorted(rated, asked), len(rated) - 1)
    return np.asarray(rated[place] == asked)


def _all_alike(found: summary.Entries, given: Given) -> tuple[Suite, ...]:
    if len(found.lengths) < _LEAST_USERS:
        return ()
    most = given.bounds.same_list_max_share
    frame = pd.DataFrame({"share": [summary.most_common_share(found)]})
    text = f"At most {percent(most)} of the users have one and the same list"
    return (
        Suite("variety", frame, (between("variety", text, "share", 0, most, measure="share"),)),
    )
