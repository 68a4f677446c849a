"""What is expected of a release's interactions.

In: `interactions.parquet`, the catalogue's book ids, the reasons of dropped rows, the facts of the reference release.
Out: suites. Guarantees that every row is looked at; what Great Expectations would ask of each row in Python (1.5 s
a range for 6 million rows) is asked of a set or an extreme instead (0.1 s).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from jobs.ingest import rejects
from jobs.ingest.settings import DEFAULTS, RowSettings
from jobs.validation import columns
from jobs.validation.bounds import Bounds
from jobs.validation.check import ALL_TRUE, Check, Suite, between, values_in
from jobs.validation.facts import Facts
from jobs.validation.texts import number, percent
from schemas.tables import ARRIVED_AT, BOOK_ID, INTERACTIONS, RATING, RATINGS, USER_ID

#: A share of fewer ratings than these says nothing about their source.
_LEAST_ROWS = 100

_POSITIVE = "positive_share"
_POSITIVE_SINCE = "positive_share_since_reference"
_KNOWN = "known"


@dataclass(frozen=True)
class Given:
    """What the interactions of `partition` are validated with.

    `reference` holds the facts of another release, `since` those of the rows that arrived after its newest, `rows` the
    settings that the release was extracted with.
    """

    partition: str
    positive_from: int
    max_reject_share: float
    bounds: Bounds
    reference: Facts | None
    since: Facts | None
    rows: RowSettings = DEFAULTS


def gates(table: pa.Table) -> tuple[Suite, ...]:
    """Return the suites without which nothing else can be validated: the columns, and at least one row."""
    rows = pd.DataFrame({"rows": [table.num_rows]})
    text = "There is at least one accepted rating"
    check = between("interactions_rows", text, "rows", 1, None)
    return (
        columns.suite("interactions", table, INTERACTIONS),
        Suite("interactions rows", rows, (check,), gate=True),
    )


def suites(
    table: pa.Table, books: pa.ChunkedArray, reasons: pa.ChunkedArray, facts: Facts, given: Given
) -> tuple[Suite, ...]:
    """Return the suites on a table that passed `gates`.

    `books` are the catalogue's book ids, `reasons` those of the rows that were dropped, `facts` the table's own.
    """
    # Only what is validated row by row becomes a pandas frame: 10 bytes a row.
    rows = table.select([USER_ID, BOOK_ID, RATING]).to_pandas(split_blocks=True)
    rated = table[BOOK_ID].unique().sort().to_numpy()
    rated_books = pd.DataFrame({BOOK_ID: rated, _KNOWN: np.isin(rated, books.to_numpy())})
    known = values_in(
        "known_books",
        "Every rated book is in the catalogue",
        _KNOWN,
        ALL_TRUE,
        "rated books are unknown",
    )
    return (
        Suite("interactions", rows, _row_checks()),
        Suite("rated books", rated_books, (known,), key=BOOK_ID),
        Suite("day", _day(table, reasons, facts, given), _day_checks(given)),
    )


def _row_checks() -> tuple[Check, ...]:
    known_ratings = {"value_set": list(RATINGS)}
    return (
        values_in(
            "rating_range", "Every rating is 1 to 5", RATING, known_ratings, "ratings are outside"
        ),
        _least_id(USER_ID, "user"),
        _least_id(BOOK_ID, "book"),
        Check(
            "unique_pairs",
            "No user has two ratings of one book",
            "expect_compound_columns_to_be_unique",
            {"column_list": [USER_ID, BOOK_ID]},
            "ratings share a pair",
        ),
    )


def _least_id(column: str, noun: str) -> Check:
    arguments = {"column": column, "min_value": 1}
    text = f"The smallest {noun} id is at least 1"
    return Check(f"{column}_range", text, "expect_column_min_to_be_between", arguments)


def _day(table: pa.Table, reasons: pa.ChunkedArray, facts: Facts, given: Given) -> pd.DataFrame:
    age = given.rows.midnight(given.partition, 1) - datetime.fromisoformat(facts.data_as_of)
    bad = pc.sum(pc.is_in(reasons, pa.array(rejects.BAD))).as_py() or 0
    since = given.since.positive_share if given.since is not None else 0.0
    numbers = {
        "newest_row_age_hours": age / timedelta(hours=1),
        "reject_share": bad / (table.num_rows + len(reasons)),
        "rows_out_of_order": _out_of_order(table),
        "rows": facts.rows,
        "users": facts.users,
        _POSITIVE: facts.positive_share,
        _POSITIVE_SINCE: since,
    }
    return pd.DataFrame({name: [value] for name, value in numbers.items()})


def _day_checks(given: Given) -> tuple[Check, ...]:
    oldest = given.bounds.newest_row_max_age_hours
    return (
        between(
            "freshness",
            f"The newest rating arrived at most {number(oldest, 'hours')} before the end of "
            f"{given.partition} ({given.rows.timezone}), and not more than {given.rows.clock_skew_s} s after it",
            "newest_row_age_hours",
            -given.rows.clock_skew_s / 3600,
            oldest,
            measure="hours",
        ),
        between(
            "reject_share",
            f"At most {percent(given.max_reject_share)} of the rows that came in were bad",
            "reject_share",
            0,
            given.max_reject_share,
            measure="share",
        ),
        between(
            "arrival_order",
            "No rating stands before one that arrived earlier",
            "rows_out_of_order",
            0,
            0,
        ),
        _accepted_share("positive_share", "of the ratings", _POSITIVE, given),
        *(_against(given, given.reference) if given.reference is not None else ()),
    )


def _against(given: Given, reference: Facts) -> tuple[Check, ...]:
    """Return the checks that compare with the reference."""
    low, high = given.bounds.rows_min_ratio, given.bounds.rows_max_ratio
    change, share = given.bounds.positive_max_share_change, reference.positive_share
    enough = given.since is not None and given.since.rows >= _LEAST_ROWS
    new = "of the ratings that arrived since the reference"
    return (
        *(
            between(
                f"{column}_ratio",
                f"There are {low:g} to {high:g} times as many {noun} as the reference's "
                f"{number(before)}",
                column,
                low * before,
                high * before,
            )
            for column, noun, before in (
                ("rows", "ratings", reference.rows),
                ("users", "users", reference.users),
            )
        ),
        between(
            "positive_share_change",
            f"The share of positive ratings is within {change * 100:g} percentage points of the "
            f"reference's {number(share, 'share')}",
            _POSITIVE,
            share - change,
            share + change,
            measure="share",
        ),
        *((_accepted_share("positive_share_new", new, _POSITIVE_SINCE, given),) if enough else ()),
    )


def _accepted_share(name: str, of_what: str, column: str, given: Given) -> Check:
    least, greatest = given.bounds.positive_min_share, given.bounds.positive_max_share
    text = f"{percent(least)} to {percent(greatest)} {of_what} are positive ({given.positive_from} or more)"
    return between(name, text, column, least, greatest, measure="share")


def _out_of_order(table: pa.Table) -> int:
    """Count rows that arrived before the row above them."""
    return int((pl.Series(table[ARRIVED_AT]).to_physical().diff() < 0).sum())
