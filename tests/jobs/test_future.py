"""A day that has not begun: refused on the command line unless allowed by name; its release is in nobody's way."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from jobs.exporter.state import Reader
from jobs.ingest.settings import RowSettings
from jobs.pipeline import publish
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from schemas.environment import node_list
from tests.harness.command_line import run
from tests.harness.landing import BOOKS, drop, extract
from tests.harness.releases import write_release

FUTURE = "2999-01-01"


def test_a_partition_later_than_today_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4 and nothing is written, by extract and by run; allowed by name it is a release like any other."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    (tmp_path / "drops" / "catalogue").mkdir(parents=True)
    (tmp_path / "drops" / "catalogue" / "books.csv").write_text(BOOKS)
    drop(tmp_path, FUTURE).parent.mkdir(parents=True)
    rows = pl.DataFrame({"user_id": [1, 2], "book_id": [1, 2], "rating": [5, 3]})
    rows.write_parquet(drop(tmp_path, FUTURE))
    for command in ("extract", "run"):
        result = run(capsys, command, "--partition", FUTURE)
        assert result.exit_code == 4
        assert f"{FUTURE} is later than today" in result.outcome["error"]
        assert "--future-ok" in result.outcome["do"]
    assert not (tmp_path / "releases").exists()
    assert extract(capsys, FUTURE, "--future-ok").outcome["release"].startswith(FUTURE)


@pytest.mark.parametrize(
    ("zone", "skew_s", "latest"),
    [
        ("UTC", 60, "2026-11-30"),
        ("UTC", 0, "2026-11-29"),
        ("Asia/Tokyo", 60, "2026-11-30"),
        ("America/Los_Angeles", 60, "2026-11-29"),
    ],
)
def test_which_day_has_begun(zone: str, skew_s: int, latest: str) -> None:
    """Half a minute before midnight UTC: by the zone's calendar, with the skew."""
    now = datetime(2026, 11, 29, 23, 59, 30, tzinfo=UTC)
    assert RowSettings(zone, skew_s).latest_day(now) == latest


def test_a_live_release_from_the_future_blocks_nothing(
    settings: Settings,
    artifacts: Artifacts,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is named for what it is, an earlier day replaces it, and then older days are refused again."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(artifacts.root))
    monkeypatch.setenv("NIGHTSHELF_REDIS", node_list(settings.redis))
    days = (FUTURE, "2026-01-02", "2026-01-01")
    written = [
        write_release(artifacts.root, day, variant=place) for place, day in enumerate(days, 1)
    ]
    for folder in written:
        publish.run(folder, settings)
    future, now, old = (folder.release for folder in written)
    assert run(capsys, "activate", "--release", future).exit_code == 0
    shown = run(capsys, "releases")
    assert (shown.outcome["live"], shown.outcome["live_from_future"]) == (future, True)
    assert "from the future" in shown.text
    state = Reader(artifacts, lambda: "2026-11-30").read()
    assert state.live_from_future
    assert state.newest is not None
    assert state.newest.release == now
    assert run(capsys, "activate", "--release", now).outcome["previous"] == future
    assert run(capsys, "releases").outcome["live_from_future"] is False
    assert run(capsys, "activate", "--release", old).exit_code == 99
