"""Drops that no folder of files can hold: clocks that run fast, folders without rights."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.cases.case import REFUSED, Case
from tests.harness.landing import BOOKS, NIGHTSHELF

DAY = "2026-01-02"
#: root without root's right to read everything.
_WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def _land(case: Case, day: str, last: datetime | None = None) -> Path:
    """Land forty rows of a day, the last of them at a given moment; return the day's folder."""
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
    moments = [begin + timedelta(minutes=30 * n) for n in range(40)]
    if last is not None:
        moments[-1] = last
    rows = {
        "user_id": [1 + n % 10 for n in range(40)],
        "book_id": [1 + n % 4 if n < 20 else 1 + (n + 1) % 4 for n in range(40)],
        "rating": [3 + n % 3 for n in range(40)],
        "arrived_at": moments,
    }
    folder = case.artifacts / "drops" / "ratings" / f"ds={day}"
    folder.mkdir(parents=True)
    pl.DataFrame(rows).write_parquet(folder / "a.parquet")
    catalogue = case.artifacts / "drops" / "catalogue"
    catalogue.mkdir(exist_ok=True)
    (catalogue / "books.csv").write_text(BOOKS, encoding="utf-8")
    return folder


def test_a_clock_that_runs_two_seconds_fast(case: Case) -> None:
    """Its last row of a day arrived after the day: it passes both steps, but is left out with a skew of 1 s."""
    _land(case, DAY, datetime(2026, 1, 3, 0, 0, 2, tzinfo=UTC))
    case.set("NIGHTSHELF_CLOCK_SKEW_S", "1")
    assert case.extract(DAY).outcome["rejects"] == {"arrived_after_its_day": 1}
    case.set("NIGHTSHELF_CLOCK_SKEW_S", "5")
    assert case.extract(DAY).outcome["rows_accepted"] == 40
    judged = case.validate("interactions")
    assert "2026-01-03" not in judged.text, judged.text


def _as_somebody(case: Case, *arguments: str) -> "subprocess.CompletedProcess[str]":
    rights = _WITHOUT_RIGHTS if os.geteuid() == 0 else ()
    return subprocess.run(
        [*rights, *NIGHTSHELF, *arguments],
        env={**os.environ, "NIGHTSHELF_ARTIFACTS": str(case.artifacts)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("drops/ratings/ds=2026-01-01", ("extract", "--partition", DAY)),
        ("drops/ratings/ds=2026-01-02", ("extract", "--partition", DAY)),
        ("drops/ratings", ("extract", "--partition", DAY)),
        ("drops/catalogue", ("extract", "--partition", DAY)),
        ("journal", ("releases", "--history")),
        ("journal", ("releases", "--reference-for", DAY)),
    ],
)
def test_a_folder_that_may_not_be_read_is_never_an_empty_one(
    case: Case, name: str, command: tuple[str, ...]
) -> None:
    """A day, all days, the catalogue, the journal: refused with its name, by commands without the right to read it."""
    for day in ("2026-01-01", DAY):
        _land(case, day)
    folder = case.artifacts / name
    folder.mkdir(exist_ok=True)
    folder.chmod(0)
    try:
        result = _as_somebody(case, *command)
    finally:
        folder.chmod(0o755)
    assert result.returncode == REFUSED, result.stderr
    assert str(folder) in result.stderr, result.stderr
    assert "Traceback" not in result.stderr
    assert not (case.artifacts / "releases").exists() or not list(
        (case.artifacts / "releases").glob("2026-*")
    )
