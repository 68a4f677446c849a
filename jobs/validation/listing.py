"""What is expected of lists of any kind, and what they are validated with.

In: nothing. Out: `Given`, `Base` and the checks on what `jobs.validation.summary` counts. Guarantees that users',
popularity and similar lists are held to the same rules.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.validation import summary
from jobs.validation.bounds import Bounds
from jobs.validation.check import NONE_AT_ALL, Check, values_in


@dataclass(frozen=True)
class Given:
    """What the lists are validated with; `reference` is the number of users' lists of another release.

    `by_score` tells that users' lists are sorted by score: shelf rules move books.
    """

    list_length: int
    similar_length: int
    bounds: Bounds
    reference: int | None
    by_score: bool = True


@dataclass(frozen=True)
class Base:
    """What the lists were made for: users and books of every rating, and the catalogue's ids."""

    users: NDArray[np.int32]
    books: NDArray[np.int32]
    catalogue: NDArray[np.int32]


def order_check(prefix: str, noun: str) -> Check:
    """Return the check that lists are sorted by score."""
    return none(
        f"{prefix}_order",
        f"The {noun} are sorted by score, equal scores by book id",
        summary.OUT_OF_ORDER,
        "lists are not",
    )


def entry_checks(prefix: str, noun: str) -> tuple[Check, ...]:
    """Return the checks on what `summary.of` counts but the order; they hold for lists of every kind."""
    return (
        none(
            f"{prefix}_scores",
            f"The {noun} have one score a book",
            summary.OTHER_LENGTH,
            "lists have more or fewer scores",
        ),
        none(
            f"{prefix}_finite",
            f"The scores of the {noun} are finite numbers",
            summary.BAD_SCORES,
            "lists have other scores",
        ),
        none(
            f"{prefix}_repeats",
            f"No book stands twice in one of the {noun}",
            summary.REPEATS,
            "lists repeat a book",
        ),
        none(
            f"{prefix}_known_books",
            f"The {noun} hold only books of the catalogue",
            summary.UNKNOWN_BOOKS,
            "lists hold an unknown book",
        ),
    )


def none(name: str, text: str, column: str, noun: str) -> Check:
    """Return the check that `column` is 0 in every row."""
    return values_in(name, text, column, NONE_AT_ALL, noun)


def unique(name: str, text: str, column: str, noun: str) -> Check:
    """Return the check that no two rows have the same value of `column`."""
    return Check(name, text, "expect_column_values_to_be_unique", {"column": column}, noun)
