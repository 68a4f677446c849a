"""Which rows are dropped, and why.

In: raw rows of drops and the known book ids. Out: accepted rows, and every other row with its reason. Guarantees that
every row has at most one reason, the first that applies in the order below, and that repeats are resolved only
among good rows.

    null_value            a cell is empty
    not_an_integer        a cell is no integer
    rating_out_of_range   not 1 to 5
    id_out_of_range       a user or book id below 1 or above 2,147,483,647
    unknown_book          the book is not in books.csv
    user_left_out         the user is named in NIGHTSHELF_LEAVE_OUT_USERS
    arrived_after_its_day the row says that it arrived after the end of its drop's day, and the allowed clock skew
    delivered_before      rows without times of their own: the day's last row of a pair equals the newest one before it
    duplicate_row         the same user, book and rating arrive again later
    superseded            the same user rates the same book differently later
"""

from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.ingest import numbers
from jobs.ingest.pairs import repeats
from jobs.ingest.settings import RowSettings
from jobs.runtime.errors import BrokenInput
from schemas.tables import (
    ARRIVED_AT,
    BOOK_ID,
    FILE,
    INTERACTIONS,
    RATING,
    RATINGS,
    RAW,
    REASON,
    REJECTS,
    ROW,
    SOURCE_ROW,
    USER_ID,
)

NULL_VALUE = "null_value"
NOT_AN_INTEGER = "not_an_integer"
RATING_OUT_OF_RANGE = "rating_out_of_range"
ID_OUT_OF_RANGE = "id_out_of_range"
UNKNOWN_BOOK = "unknown_book"
USER_LEFT_OUT = "user_left_out"
ARRIVED_AFTER_ITS_DAY = "arrived_after_its_day"
DELIVERED_BEFORE = "delivered_before"
DUPLICATE_ROW = "duplicate_row"
SUPERSEDED = "superseded"

#: Reasons that say something about the source's quality; repeats are resolved and do not count as bad.
BAD = (
    NULL_VALUE,
    NOT_AN_INTEGER,
    RATING_OUT_OF_RANGE,
    ID_OUT_OF_RANGE,
    UNKNOWN_BOOK,
    ARRIVED_AFTER_ITS_DAY,
)

_CELLS = (USER_ID, BOOK_ID, RATING)
_IDS = (USER_ID, BOOK_ID)
_STORED = {USER_ID: pl.Int32, BOOK_ID: pl.Int32, RATING: pl.Int8}
_GREATEST_ID = 2**31 - 1


class TooManyRejects(BrokenInput):
    """Too many rows of `files` (names of drops) are bad; `where` is the parquet file that keeps them."""

    def __init__(self, what: str, where: str, do: str, files: tuple[str, ...]) -> None:
        """Keep the three parts and the files."""
        super().__init__(what, where, do)
        self.files = files


def split(
    raw: pl.DataFrame, known_books: pl.Series, end: datetime, left_out: tuple[int, ...] = ()
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split raw rows into good ones, with integers in the rating columns, and bad ones (REJECTS).

    `known_books` are int64 ids, `end` is the first instant (UTC) that is too late for the rows' drop, `left_out` are
    users whose rows nobody wants.
    """
    parsed = pl.DataFrame([numbers.whole(raw[column]) for column in _CELLS])
    rows = raw.with_columns(parsed)
    is_good = rows.select(
        (
            pl.col(RATING).is_between(RATINGS[0], RATINGS[-1])
            & pl.all_horizontal(pl.col(_IDS).is_between(1, _GREATEST_ID))
            & pl.col(BOOK_ID).is_in(known_books.implode())
            & ~pl.col(USER_ID).is_in(left_out)
            & (pl.col(ARRIVED_AT) < end)
            & pl.col(SOURCE_ROW).is_not_null()
        ).fill_null(value=False)
    ).to_series()
    good = rows.filter(is_good).with_columns(pl.col(name).cast(t) for name, t in _STORED.items())
    bad = _with_reasons(raw.filter(~is_good), parsed.filter(~is_good), known_books, left_out)
    return good, bad


def resolve(good: pl.DataFrame, undated: tuple[str, ...] = ()) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split good rows into accepted ones (INTERACTIONS) and repeats (REJECTS).

    The newest row of a pair is accepted: by arrival, then by file in the order of the drops, then by source_row, then
    by place. Rows of the files `undated` have no times of their own: where the last row of a day equals the newest row
    of its pair before that day, the day brings nothing new, and the earlier row stays. Rows must come file by file;
    both results are sorted by arrival.
    """
    if not _is_in_order(good):
        good = good.sort(ARRIVED_AT, FILE, SOURCE_ROW, maintain_order=True)
    rows, pair = _in_pairs(*repeats(good[USER_ID].to_numpy(), good[BOOK_ID].to_numpy()))
    again = _delivered_before(good[rows], pair, undated)
    fresh = ~again
    is_newest = np.diff(pair[fresh], append=-1) != 0
    kept = np.ones(good.height, dtype=bool)
    kept[rows] = False
    kept[rows[fresh][is_newest]] = True
    involved = np.sort(rows[fresh])
    dropped = (
        good[involved]
        .with_columns(
            # The last of equal (user, book, rating) rows differs from the one that is kept, or is kept itself.
            pl.when(pl.struct(_CELLS).is_last_distinct())
            .then(pl.lit(SUPERSEDED))
            .otherwise(pl.lit(DUPLICATE_ROW))
            .alias(REASON),
        )
        .filter(pl.Series(kept[involved], dtype=pl.Boolean).not_())
    )
    before = good[np.sort(rows[again])].with_columns(pl.lit(DELIVERED_BEFORE).alias(REASON))
    accepted = good.select(INTERACTIONS.names)
    if len(rows):
        accepted = accepted.filter(pl.Series(kept))
    raw = pl.concat_str(_CELLS, separator=",").alias(RAW)
    return accepted, pl.concat([dropped, before]).with_columns(raw).select(REJECTS.names)


def _in_pairs(
    earlier: NDArray[np.int64], later: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of repeated pairs, in order of pair and arrival, and the number of each one's pair."""
    starts = np.flatnonzero(np.append(True, earlier[1:] != later[:-1])[: len(earlier)])
    rows = np.insert(later, starts, earlier[starts])
    first = np.zeros(len(rows), dtype=np.int64)
    first[starts + np.arange(len(starts))] = 1
    return rows, np.cumsum(first)


def _delivered_before(
    rows: pl.DataFrame, pair: NDArray[np.int64], undated: tuple[str, ...]
) -> NDArray[np.bool_]:
    """Say for each row whether it was delivered before; `rows` and `pair` are as `_in_pairs` gives them."""
    if not undated or rows.is_empty():
        return np.zeros(rows.height, dtype=bool)
    is_undated = rows[FILE].is_in(undated).to_numpy()
    arrived, rating = rows[ARRIVED_AT].to_physical().to_numpy(), rows[RATING].to_numpy()
    # What one day says of a pair is its last row there.
    of_one_day = (np.diff(pair) == 0) & (np.diff(arrived) == 0) & is_undated[1:]
    is_last = np.append(~of_one_day, True)
    last = np.flatnonzero(is_last)
    same = (np.diff(pair[last]) == 0) & (np.diff(rating[last]) == 0) & is_undated[last][1:]
    of_last = np.append(False, same)
    text: NDArray[np.bool_] = of_last[np.cumsum(is_last) - is_last]
    return text


def too_many(by_reason: dict[str, int], rows: int, max_share: float) -> bool:
    """Say whether more than `max_share` of `rows` are bad."""
    return sum(by_reason.get(reason, 0) for reason in BAD) > max_share * rows


def refusal(
    by_reason: dict[str, int],
    rows: int,
    max_share: float,
    rejects: Path,
    *,
    files: tuple[str, ...],
    settings: RowSettings,
    of: str = "",
) -> TooManyRejects:
    """Return the error that tells which reasons made `too_many` true; `rejects` is where the rows are kept.

    `files` are the drops whose rows were counted, and `of` says which those are (` of 2026-11-23`), nothing for all.
    """
    bad = sorted(((by_reason.get(reason, 0), reason) for reason in BAD), reverse=True)
    text = ", ".join(f"{count} {reason}" for count, reason in bad if count)
    what = f"{sum(count for count, _ in bad)} of {rows} rows{of} are bad ({text}); {max_share:.0%} are allowed"
    do = "fix the source, or raise NIGHTSHELF_MAX_REJECT_SHARE if these rows may be dropped"
    if bad[0][1] == ARRIVED_AFTER_ITS_DAY:
        what += (
            f"; days end at midnight in {settings.timezone} and {settings.clock_skew_s} s"
            " for clocks that are fast"
        )
        do = (
            "set NIGHTSHELF_TIMEZONE to the zone whose midnight ends the source's days, or NIGHTSHELF_CLOCK_SKEW_S to "
            "how fast its clock is"
        )
    return TooManyRejects(what, str(rejects), do, files)


def _with_reasons(
    raw: pl.DataFrame, parsed: pl.DataFrame, known_books: pl.Series, left_out: tuple[int, ...]
) -> pl.DataFrame:
    """Return bad rows (REJECTS); `parsed` are their rating columns as integers."""
    cells = pl.col(_CELLS).cast(pl.String).fill_null("").str.strip_chars()
    text = raw.select(cells.replace("NaN", ""))
    number = {column: parsed[column] for column in _CELLS}
    # A number of more digits than an int64 holds is still an integer.
    whole = {
        column: number[column].is_not_null() | text[column].str.contains(numbers.WHOLE)
        for column in _CELLS
    }
    tests = pl.DataFrame(
        {
            NULL_VALUE: text.select(pl.any_horizontal(pl.col(_CELLS) == "")).to_series()
            | raw[ARRIVED_AT].is_null()
            | raw[SOURCE_ROW].is_null(),
            NOT_AN_INTEGER: ~(whole[USER_ID] & whole[BOOK_ID] & whole[RATING]),
            RATING_OUT_OF_RANGE: ~_between(number[RATING], RATINGS[0], RATINGS[-1]),
            ID_OUT_OF_RANGE: ~(
                _between(number[USER_ID], 1, _GREATEST_ID)
                & _between(number[BOOK_ID], 1, _GREATEST_ID)
            ),
            UNKNOWN_BOOK: ~number[BOOK_ID].is_in(known_books.implode()).fill_null(value=False),
            USER_LEFT_OUT: number[USER_ID].is_in(left_out).fill_null(value=False),
        }
    )
    reason = pl.coalesce(
        *(pl.when(pl.col(name)).then(pl.lit(name)) for name in tests.columns),
        pl.lit(ARRIVED_AFTER_ITS_DAY),
    )
    return raw.select(
        FILE,
        ROW,
        tests.select(reason.alias(REASON)).to_series(),
        text.select(pl.concat_str(_CELLS, separator=",").alias(RAW)).to_series(),
    )


def _between(number: pl.Series, lowest: int, greatest: int) -> pl.Series:
    return number.is_between(lowest, greatest).fill_null(value=False)


def _is_in_order(rows: pl.DataFrame) -> bool:
    arrived, row = rows[ARRIVED_AT].to_physical().to_numpy(), rows[SOURCE_ROW].to_numpy()
    file = rows[FILE].to_physical().to_numpy()
    later, other = np.diff(arrived), file[1:] != file[:-1]
    return bool(np.all((later > 0) | ((later == 0) & (other | (np.diff(row) >= 0)))))
