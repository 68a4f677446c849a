"""Whether rows tell time."""

import polars as pl

from jobs.source.time_order import is_time_ordered


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
