"""Every handed `drops` folder gives what its row of the cases' README says, by `extract` and `validate`."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from tests.cases.case import Case, handed

DAY = "2026-11-20"
Expectation = Callable[[Case], None]


def _all_rows(case: Case) -> None:
    """Expect the 600 rows of the part that holds any."""
    outcome = case.extract(DAY).outcome
    assert outcome["rows_in"] == 600


def _refused(*named: str) -> Expectation:
    """Expect a refusal that names what cannot be read."""

    def expect(case: Case) -> None:
        told = case.refused("extract", "--partition", DAY)
        for word in named:
            assert word in told, told

    return expect


def _files(case: Case) -> list[pl.DataFrame]:
    """Return each landed file, by day and name, with the day it lies in."""
    return [
        pl.read_parquet(file, hive_partitioning=False).with_columns(
            day=pl.lit(date.fromisoformat(file.parent.name.removeprefix("ds=")))
        )
        for file in sorted(case.artifacts.glob("drops/ratings/*/*.parquet"))
    ]


def _newest(case: Case) -> dict[tuple[int, int], tuple[int, date]]:
    """Return each pair's newest rating and the day since which it stands, by a loop over all rows.

    What a file says of a pair is its last row of it.
    """
    found: dict[tuple[int, int], tuple[int, date]] = {}
    for frame in _files(case):
        columns = ("user_id", "book_id", "rating", "day")
        said = {(user, book): (rating, day) for user, book, rating, day in frame[columns].rows()}
        for pair, (rating, day) in said.items():
            if pair not in found or found[pair][0] != rating:
                found[pair] = rating, day
    return found


def _accepted(case: Case) -> dict[tuple[int, int], tuple[int, date]]:
    rows = case.table("interactions").select("user_id", "book_id", "rating", "arrived_at")
    return {(user, book): (rating, at.date()) for user, book, rating, at in rows.iter_rows()}


def _only_new_rows_are_newer(case: Case) -> None:
    """Expect each row on the day on which it first came, and that the repeats are counted."""
    case.extract(DAY)
    expected = _newest(case)
    assert _accepted(case) == expected
    assert {day.isoformat() for _, day in expected.values()} == {
        "2026-11-18",
        "2026-11-19",
        "2026-11-20",
    }


def _correction_wins(case: Case) -> None:
    case.extract(DAY)
    assert _accepted(case)[1, 1][0] == 5
    assert _accepted(case) == _newest(case)


def _stays_old(case: Case) -> None:
    """Expect the first day's date and a check that says so."""
    outcome = case.extract(DAY).outcome
    assert outcome["data_as_of"].startswith("2026-11-18")
    judged = case.validate("interactions")
    assert judged.exit_code == 3
    assert "newest" in judged.text, judged.text


def _cut_in_los_angeles(case: Case) -> None:
    """Expect one refusal that names the setting, and that all goes well with it."""
    told = case.refused("extract", "--partition", DAY)
    assert "NIGHTSHELF_TIMEZONE" in told, told
    case.set("NIGHTSHELF_TIMEZONE", "America/Los_Angeles")
    outcome = case.extract(DAY).outcome
    assert (outcome["rows_in"], outcome["data_as_of"][:10]) == (1800, "2026-11-21")
    judged = case.validate("interactions")
    assert judged.exit_code == 0, judged.text


EXPECTED: dict[str, Expectation] = {
    "100-spark-empty-part": _all_rows,
    "101-mixed-csv-and-parquet": _refused("ds=2026-11-20"),
    "103-daily-full-snapshot-no-time": _only_new_rows_are_newer,
    "120-hourly-files": _correction_wins,
    "121-frozen-source": _stays_old,
    "71-own-los-angeles": _cut_in_los_angeles,
    "82-nested-hour": _refused("ds=2026-11-19", "hour=00"),
    "83-csv-in-day": _refused("ds=2026-11-20", "a.csv"),
}


@pytest.mark.parametrize("source", handed("drops"), ids=lambda source: source.name)
def test_a_handed_drop_gives_what_was_promised(case: Case, source: Path) -> None:
    """Read in full, dated rightly, or refused by name; never left out without a word."""
    assert source.name in EXPECTED, f"nothing is expected of {source.name}"
    case.land(source / "drops")
    EXPECTED[source.name](case)
