"""Whether rows tell time: a file that is sorted by book or by user does not.

In: rows in their order. Out: a yes or a no. It is decided on parsed numbers, so the way in which a source writes them
makes no difference.
"""

import polars as pl

from jobs.source import numbers
from schemas.tables import BOOK_ID, USER_ID

_SORTED_SHARE = 0.99


def is_time_ordered(rows: pl.DataFrame) -> bool:
    """Say whether the rows can be in order of time.

    Sorted means that of the places where the id changes, 99 % go the same way: the first edition has 100 % of its
    books going up, the current one 55 %, and a few rows that were added at the end change nothing.
    """
    return not any(_is_sorted(numbers.whole(rows[column])) for column in (USER_ID, BOOK_ID))


def _is_sorted(ids: pl.Series) -> bool:
    steps = ids.drop_nulls().diff().drop_nulls()
    changes = int((steps != 0).sum())
    up = int((steps > 0).sum())
    return changes > 0 and max(up, changes - up) >= _SORTED_SHARE * changes
