"""Users who bring more than a person does."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from jobs.validation import busiest, expectations
from jobs.validation.bounds import Bounds
from jobs.validation.result import ExpectationResult

START = datetime(2026, 1, 1, tzinfo=UTC)


def _judged(
    *days: dict[int, int],
    books: int = 90,
    newer_than: str | None = None,
    bounds: Bounds | None = None,
) -> dict[str, ExpectationResult]:
    """Judge users by their numbers of rows on each day."""
    rows = [
        {"user_id": user, "arrived_at": START + timedelta(days=day, seconds=number)}
        for day, users in enumerate(days)
        for user, count in users.items()
        for number in range(count)
    ]
    schema = pa.schema({"user_id": pa.int32(), "arrived_at": pa.timestamp("us", "UTC")})
    table = pa.Table.from_pylist(rows, schema)
    found = expectations.validate(busiest.suites(table, books, newer_than, bounds or Bounds()))
    return {outcome.name: outcome for outcome in found.outcomes}


def _crowd(rows: int) -> dict[int, int]:
    """Return so many rows of users 1 to 10 in equal parts."""
    return dict.fromkeys(range(1, 11), rows // 10)


def test_a_user_with_most_rows_of_a_day_is_named() -> None:
    """60 of 110 are 55 %; a day before is no excuse."""
    found = _judged(_crowd(5000), {**_crowd(50), 9999: 60})["user_day_share"]
    assert found.status == "failed"
    assert found.examples == ("share 0.5455, user_id 9999",)
    assert "NIGHTSHELF_LEAVE_OUT_USERS" in found.text


@pytest.mark.parametrize(
    "users",
    [{**_crowd(50), 9999: 50}, {**_crowd(40), 9999: 49}, {9999: 49}, _crowd(200)],
    ids=["a half", "few rows", "alone", "nobody with many"],
)
def test_what_a_person_can_do_is_no_bot(users: dict[int, int]) -> None:
    """A share up to the bound, or few rows, passes."""
    assert _judged(users)["user_day_share"].status == "passed"


def test_days_that_the_reference_had_are_not_judged_again() -> None:
    """Only rows that arrived after its newest."""
    days = ({**_crowd(100), 9999: 110}, _crowd(200))
    last = (START + timedelta(hours=23)).isoformat()
    assert _judged(*days)["user_day_share"].status == "failed"
    assert _judged(*days, newer_than=last)["user_day_share"].status == "passed"


def test_the_bounds_are_settings() -> None:
    """A wider share lets the user pass, a narrower one finds more."""
    users = {**_crowd(50), 9999: 60}
    assert (
        _judged(users, bounds=Bounds(user_max_day_share=0.6))["user_day_share"].status == "passed"
    )
    found = _judged(_crowd(1000), bounds=Bounds(user_max_day_share=0.05))["user_day_share"]
    assert found.observed == "10 of 10 users have more"


def test_a_user_who_has_rated_nearly_all_books_is_named() -> None:
    """However the rows are spread over days; in a small catalogue that can be a person."""
    spread = [{**_crowd(300), 9999: 40} for _ in range(3)]
    found = _judged(*spread, books=130)
    assert found["user_day_share"].status == "passed"
    assert found["user_catalogue_share"].status == "failed"
    assert any("user_id 9999" in example for example in found["user_catalogue_share"].examples)
    assert _judged(*spread, books=134)["user_catalogue_share"].status == "passed"
    assert "user_catalogue_share" not in _judged(*spread, books=99)
