"""Users who bring more than a person does: bots, test accounts, an importer that runs under one name.

In: a release's interactions. Out: suites whose offending rows name the user. Guarantees that only days after the
reference's newest row are validated, since the others were when they were new.
"""

from datetime import datetime

import polars as pl
import pyarrow as pa

from jobs.validation.bounds import Bounds
from jobs.validation.check import Check, Suite
from jobs.validation.texts import percent
from schemas.tables import ARRIVED_AT, USER_ID

_ROWS = "rows"
_SHARE = "share"
#: Fewer rows of one user in a day are within a person's reach, and do little harm.
_LEAST_ROWS = 50
#: Of a smaller catalogue somebody may know all.
_LEAST_BOOKS = 100
_MOST_USERS = 20
_WAY_OUT = "a bot is left out by NIGHTSHELF_LEAVE_OUT_USERS"


def suites(
    table: pa.Table, books: int, newer_than: str | None, bounds: Bounds
) -> tuple[Suite, ...]:
    """Return the suites on users; `books` counts the catalogue, `newer_than` is the reference's data_as_of or None."""
    rows = pl.DataFrame(table.select([USER_ID, ARRIVED_AT]))
    is_new = newer_than is None or pl.col(ARRIVED_AT) > datetime.fromisoformat(newer_than)
    day_share, all_share = bounds.user_max_day_share, bounds.user_max_catalogue_share
    found = [
        _suite(
            "busiest users",
            "user_day_share",
            f"No user has brought more than {percent(day_share)} of the ratings of a day, and {_LEAST_ROWS} or more "
            f"({_WAY_OUT})",
            _by_day(rows.filter(is_new)),
            day_share,
        )
    ]
    if books >= _LEAST_BOOKS:
        found.append(
            _suite(
                "widest users",
                "user_catalogue_share",
                f"No user has rated more than {percent(all_share)} of the books ({_WAY_OUT})",
                _by_books(rows, books),
                all_share,
            )
        )
    return tuple(found)


def _suite(name: str, check: str, text: str, frame: pl.DataFrame, most: float) -> Suite:
    expectation = Check(
        check,
        text,
        "expect_column_values_to_be_between",
        {"column": _SHARE, "min_value": 0, "max_value": most},
        "users have more",
    )
    return Suite(name, frame.to_pandas(), (expectation,), key=USER_ID)


def _by_day(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the users with enough rows on some day, with the greatest share that they had of one."""
    found = [
        pl.DataFrame(schema={USER_ID: rows.schema[USER_ID], _ROWS: pl.UInt32, _SHARE: pl.Float64})
    ]
    start = 0
    # Rows stand by arrival: counting day after day takes a third of the time of grouping by day and user.
    for length in rows[ARRIVED_AT].dt.date().rle().struct.field("len"):
        users = rows[USER_ID].slice(start, length).value_counts(name=_ROWS)
        many = users.filter(pl.col(_ROWS) >= _LEAST_ROWS)
        found.append(many.with_columns((pl.col(_ROWS) / length).round(4).alias(_SHARE)))
        start += length
    shares = pl.concat(found).group_by(USER_ID).agg(pl.col(_SHARE).max())
    return _greatest(shares)


def _by_books(rows: pl.DataFrame, books: int) -> pl.DataFrame:
    """Return the users with most ratings; a user has one of a book."""
    counts = rows[USER_ID].value_counts(name=_ROWS)
    shares = counts.with_columns((pl.col(_ROWS) / books).round(4).alias(_SHARE)).drop(_ROWS)
    return _greatest(shares)


def _greatest(shares: pl.DataFrame) -> pl.DataFrame:
    return shares.sort(_SHARE, USER_ID, descending=[True, False]).head(_MOST_USERS)
