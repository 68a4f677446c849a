"""What a table of interactions comes to in numbers.

In: a table of `schemas.tables.INTERACTIONS`. Out: counts, shares and the newest row. Guarantees the same numbers for
the release and for its reference, so that they can be compared.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa

from schemas.tables import ARRIVED_AT, BOOK_ID, RATING, RATINGS, USER_ID

#: Columns that facts are made of.
COLUMNS = (USER_ID, BOOK_ID, RATING, ARRIVED_AT)

_DAYS = 30


@dataclass(frozen=True)
class Facts:
    """Numbers of one table.

    `ratings` counts rows by rating from 1 to 5; `positive_share` is of ratings from `positive_from` up; `data_as_of` is
    the newest arrival (ISO 8601, UTC), "" for no rows; `days` counts rows by day of arrival, the newest 30 days.
    """

    rows: int
    users: int
    books: int
    ratings: tuple[int, ...]
    positive_share: float
    data_as_of: str
    days: dict[str, int]


def of(table: pa.Table, positive_from: int) -> Facts:
    """Return the facts of `table`, whose columns must be those of INTERACTIONS."""
    frame = _frame(table)
    by_rating = dict(frame[RATING].value_counts().rows())
    arrived = frame[ARRIVED_AT]
    newest = arrived.max()
    by_day = arrived.dt.date().value_counts().drop_nulls().sort(ARRIVED_AT).tail(_DAYS)
    return Facts(
        rows=frame.height,
        users=frame[USER_ID].n_unique(),
        books=frame[BOOK_ID].n_unique(),
        ratings=tuple(int(by_rating.get(rating, 0)) for rating in RATINGS),
        positive_share=_share(frame[RATING], positive_from),
        data_as_of=newest.isoformat() if isinstance(newest, datetime) else "",
        days={str(day): int(count) for day, count in by_day.rows()},
    )


def since(table: pa.Table, moment: str, positive_from: int) -> Facts:
    """Return the facts of the rows that arrived after `moment` (ISO 8601), which is the reference's data_as_of."""
    arrived = _frame(table)[ARRIVED_AT]
    later = (arrived > datetime.fromisoformat(moment)).to_arrow()
    return of(table.filter(later), positive_from)


def from_json(content: dict[str, Any]) -> Facts:
    """Return the facts that were kept as JSON."""
    return Facts(**{**content, "ratings": tuple(content["ratings"])})


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(table.select(COLUMNS))


def _share(ratings: pl.Series, positive_from: int) -> float:
    return float((ratings >= positive_from).mean() or 0.0)  # type: ignore[arg-type]  # the mean of booleans
