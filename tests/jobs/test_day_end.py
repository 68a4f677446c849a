"""One rule for the end of a day, by the commands: time zones, clocks that are fast, days of 23 and 25 hours."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from jobs.ingest.settings import RowSettings
from jobs.runtime.errors import WrongUsage
from tests.harness.command_line import Result, run
from tests.harness.landing import BOOKS, HEADER, ROWS, drop, extract, folder, replay, table

DAY = "2026-01-04"


@pytest.fixture(autouse=True)
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifacts folder of this test's own."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "artifacts"


def _land(artifacts: Path, times: list[datetime], day: str = DAY) -> None:
    """Land a row for each time: user n rates book 1 with 4 or, every second one, with 2."""
    catalogue = artifacts / "drops" / "catalogue"
    catalogue.mkdir(parents=True, exist_ok=True)
    (catalogue / "books.csv").write_text(BOOKS)
    users = range(1, len(times) + 1)
    ratings = [4 if user % 2 else 2 for user in users]
    path = drop(artifacts, day)
    path.parent.mkdir(parents=True)
    frame = {"user_id": users, "book_id": [1] * len(times), "rating": ratings, "arrived_at": times}
    pl.DataFrame(frame).write_parquet(path)


def _validated(capsys: pytest.CaptureFixture[str], extracted: Result) -> Result:
    release = ("--release", extracted.outcome["release"], "--table", "interactions")
    return run(capsys, "validate", *release, "--reference", "none")


def _hourly(start: datetime) -> list[datetime]:
    return [start + timedelta(hours=hour, minutes=30) for hour in range(24)]


@pytest.mark.parametrize(
    "source",
    [("America/Los_Angeles", 8, True), ("Asia/Tokyo", -9, False)],
)
def test_days_of_another_zone(
    artifacts: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    source: tuple[str, int, bool],
) -> None:
    """They pass both commands with their zone; days that end later than UTC's are refused by extract without it."""
    zone, offset_h, refused_in_utc = source
    _land(artifacts, _hourly(datetime(2026, 1, 4, tzinfo=UTC) + timedelta(hours=offset_h)))
    plain = extract(capsys)
    if refused_in_utc:
        assert plain.exit_code == 4
        assert "8 arrived_after_its_day" in plain.outcome["error"]
        assert "midnight in UTC" in plain.outcome["error"]
        assert "NIGHTSHELF_TIMEZONE" in plain.outcome["do"]
    else:
        assert _validated(capsys, plain).exit_code == 0
    monkeypatch.setenv("NIGHTSHELF_TIMEZONE", zone)
    own = extract(capsys)
    assert own.outcome["rows_accepted"] == 24
    assert _validated(capsys, own).exit_code == 0
    assert plain.outcome.get("release") != own.outcome["release"]


@pytest.mark.parametrize(("late_s", "skew_s"), [(2, 60), (2, 2), (60, 61), (60, 60)])
def test_a_clock_some_seconds_fast(
    artifacts: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    late_s: int,
    skew_s: int,
) -> None:
    """A row so late after midnight passes extract and validate below the skew; from there on it is a bad row."""
    monkeypatch.setenv("NIGHTSHELF_CLOCK_SKEW_S", str(skew_s))
    midnight = datetime(2026, 1, 5, tzinfo=UTC)
    _land(artifacts, [midnight - timedelta(hours=1), midnight + timedelta(seconds=late_s)])
    extracted = extract(capsys)
    assert extracted.exit_code == (0 if late_s < skew_s else 4)
    if late_s < skew_s:
        assert _validated(capsys, extracted).exit_code == 0
    else:
        assert f"{skew_s} s for clocks that are fast" in extracted.outcome["error"]


def test_times_without_a_zone_are_local(
    artifacts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Los Angeles, 8 March (2:00 to 3:00 is skipped) and 1 November 2026 (1:00 to 2:00 comes twice)."""
    monkeypatch.setenv("NIGHTSHELF_TIMEZONE", "America/Los_Angeles")
    local = [datetime(2026, 3, 8, hour, 30) for hour in (1, 2, 3, 23)]  # noqa: DTZ001  # no zone
    _land(artifacts, local, "2026-03-08")
    _land(artifacts, [datetime(2026, 11, 1, hour, 30) for hour in (0, 1, 2, 23)], "2026-11-01")  # noqa: DTZ001
    march = extract(capsys, "2026-03-08").outcome
    hours = table(artifacts, march["release"], "interactions")["arrived_at"].dt.strftime("%d %H:%M")
    assert hours.to_list() == ["08 09:30", "08 10:30", "08 10:30", "09 06:30"]
    november = extract(capsys, "2026-11-01").outcome
    times = table(artifacts, november["release"], "interactions")["arrived_at"].unique().sort()
    assert times.dt.strftime("%d %H:%M").to_list() == [
        "01 07:30",
        "01 08:30",
        "01 10:30",
        "02 07:30",
    ]


def test_replay_lands_days_of_the_zone(
    artifacts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From midnight to midnight in Tokyo; the same again is reused, and extract and validate accept it."""
    monkeypatch.setenv("NIGHTSHELF_TIMEZONE", "Asia/Tokyo")
    source = folder(tmp_path, HEADER + ROWS)
    replay(capsys, source)
    assert replay(capsys, source).outcome["reused"]
    first = pl.read_parquet(drop(artifacts, "2026-01-01"))["arrived_at"]
    assert first[0] == datetime(2025, 12, 31, 15, tzinfo=UTC)
    extracted = extract(capsys)
    assert (extracted.outcome["rows_accepted"], extracted.outcome["rejects"]) == (40, {})
    assert _validated(capsys, extracted).exit_code == 0


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        ("2026-03-08", "America/Los_Angeles", 23),
        ("2026-11-01", "America/Los_Angeles", 25),
        ("2018-11-04", "America/Sao_Paulo", 23),
        ("2026-01-04", "UTC", 24),
    ],
    ids=["spring", "autumn", "midnight itself is skipped", "plain"],
)
def test_how_long_a_day_is(day: str, zone: str, hours: int) -> None:
    """From its first instant to that of the next, by the calendar of the zone."""
    rows = RowSettings(zone, 0)
    assert rows.end(day) - rows.midnight(day) == timedelta(hours=hours)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "America", "../etc/passwd", "/etc/passwd"])
def test_an_unknown_zone_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Exit code 2 with the variable's name."""
    with pytest.raises(WrongUsage):
        RowSettings(zone)
    monkeypatch.setenv("NIGHTSHELF_TIMEZONE", zone)
    result = extract(capsys)
    assert (result.exit_code, "NIGHTSHELF_TIMEZONE" in result.outcome["error"]) == (2, True)
