"""Whether rows tell time: a file that is sorted by book or by user does not.

In: rows in their order. Out: a yes or a no. It is decided on parsed numbers, so the way in which a source writes them
makes no difference.
"""

import polars as pl

from jobs.ingest import numbers
from schemas.tables import ARRIVED_AT, BOOK_ID, USER_ID

_SORTED_SHARE = 0.99
#: Fewer rows may be in any order by chance.
_LEAST_ROWS = 100
_LARGEST_DAY_SHARE = 0.5


def is_time_ordered(rows: pl.DataFrame) -> bool:
    """Say whether the rows can be in order of time.

    Sorted means that of the places where the id changes, 99 % go the same way: the first edition has 100 % of its
    books going up, the current one 55 %, and a few rows that were added at the end change nothing.
    """
    return not any(_is_sorted(numbers.whole(rows[column])) for column in (USER_ID, BOOK_ID))


def do_days_tell_time(rows: pl.DataFrame) -> bool:
    """Say whether rows that a source landed by day, in order of arrival, can be in order of time.

    A source may sort the rows of each day: the days tell time then, unless one holds most of the rows.
    """
    if rows.height < _LEAST_ROWS or is_time_ordered(rows):
        return True
    day = rows[ARRIVED_AT].dt.date()
    largest = int(rows.group_by(day).len()["len"].to_numpy().max())
    begins = (day != day.shift(1)).fill_null(value=False)
    ids = [numbers.whole(rows[column]) for column in (USER_ID, BOOK_ID)]
    return largest <= _LARGEST_DAY_SHARE * rows.height and all(
        _begins_anew(column, begins) for column in ids if _is_sorted(column)
    )


def _begins_anew(ids: pl.Series, begins: pl.Series) -> bool:
    """Say whether sorted ids turn back where most days begin, instead of going on."""
    steps = ids.diff()
    up, down = steps > 0, steps < 0
    back = down if int(up.sum()) >= int(down.sum()) else up
    return 2 * int((back & begins).sum()) > int(begins.sum())


def _is_sorted(ids: pl.Series) -> bool:
    steps = ids.drop_nulls().diff().drop_nulls()
    changes = int((steps != 0).sum())
    up = int((steps > 0).sum())
    return changes > 0 and max(up, changes - up) >= _SORTED_SHARE * changes
