"""Whether rows tell time."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from jobs.ingest.time_order import do_days_tell_time, is_time_ordered


def test_a_few_late_rows_do_not_hide_that_a_file_is_sorted() -> None:
    """Sorted by user, by book or downwards tells no time, even with two rows of 900 out of place."""
    ascending = [str(n // 3) for n in range(900)]
    mixed = [str(n * 7919 % 101) for n in range(900)]
    for users, books in (
        (ascending, mixed),
        (mixed, ascending),
        (mixed, ascending[::-1]),
        (mixed, [*ascending[:898], "0", "1"]),
    ):
        assert not is_time_ordered(pl.DataFrame({"user_id": users, "book_id": books}))
    assert is_time_ordered(pl.DataFrame({"user_id": mixed, "book_id": mixed[::-1]}))


def _landed(users: list[int], days: int, *, first_day_share: float = 0.0) -> bool:
    """Say what is found of rows on so many days, equal parts or a larger first day; books are in no order."""
    head = int(len(users) * first_day_share)
    rest = len(users) - head
    day = [max(row - head, 0) * days // rest for row in range(len(users))]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = pl.DataFrame(
        {
            "user_id": users,
            "book_id": [row * 7919 % 101 for row in range(len(users))],
            "arrived_at": [start + timedelta(days=number) for number in day],
        }
    )
    return do_days_tell_time(rows)


@pytest.mark.parametrize("days", [1, 4, 30])
def test_rows_that_a_source_landed_sorted_tell_no_time(days: int) -> None:
    """Cut into however many days, upwards or downwards; rows in no order tell time."""
    ascending = [row // 3 for row in range(900)]
    assert not _landed(ascending, days)
    assert not _landed(ascending[::-1], days)
    assert _landed([row * 7919 % 97 for row in range(900)], days)


def test_days_tell_time_though_each_is_sorted() -> None:
    """A source that sorts the rows of each day: fine, unless one day holds most of them."""
    each_day = [row // 3 for row in range(300)] * 3
    assert _landed(each_day, 3)
    bulk = [*range(800), *([row * 4 for row in range(25)] * 4)]
    assert not _landed(bulk, 4, first_day_share=800 / 900)


def test_few_rows_say_nothing() -> None:
    """They may be sorted by chance."""
    assert _landed(list(range(99)), 1)
    assert not _landed(list(range(100)), 1)
