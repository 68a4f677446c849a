"""The backtest: the model finds what readers of its groups read next, and rows without order are refused."""

import json
from pathlib import Path

import pytest

from jobs.evaluation import measured, ranking, rolling_origin
from jobs.evaluation import settings as evaluation_settings
from jobs.pipeline import train
from jobs.runtime.errors import BrokenInput
from tests.harness.command_line import run
from tests.jobs.evaluation import groups


def test_the_model_beats_lists_that_are_the_same_for_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Readers of one of six groups: both popularity lists find far less, by paired intervals."""
    folder = groups.write_day(tmp_path, "2026-02-01")
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    found = run(capsys, "backtest", "--release", folder.release, "--at", 0.8, "--at", 0.9)
    assert found.exit_code == 0
    assert found.outcome["cuts"] == [0.8, 0.9]
    assert found.outcome["less_recent_popularity"]["low"] > 0
    ndcg = found.outcome["ndcg_at_10"]
    assert ndcg["als"] > 2 * ndcg["all_time_popularity"]
    assert "recent_popularity" in found.text
    written = json.loads(Path(found.outcome["report"]).read_text())
    assert set(written["metrics"]) == {"als", "recent_popularity", "all_time_popularity"}
    assert written["metrics"]["als"]["broken_lists"] == {"short": 0, "repeats": 0, "read": 0}


def test_rows_without_order_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A source that tells no time cannot be backtested: exit code 3, and it is said why."""
    folder = groups.write_day(tmp_path, "2026-02-01", ordered=False)
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    found = run(capsys, "backtest", "--release", folder.release)
    assert found.exit_code == 3
    assert "not measurable" in found.text


def test_cuts_with_nothing_to_find_are_refused(tmp_path: Path) -> None:
    """No rating is a 6: there is nothing to find after any cut."""
    folder = groups.write_day(tmp_path, "2026-02-01")
    with pytest.raises(BrokenInput, match="no positive rating"):
        rolling_origin.cuts_at(rolling_origin.rows_of(folder), (0.5,), 6, 0.01)


def test_a_candidate_at_the_full_cut_is_the_release(tmp_path: Path) -> None:
    """A model fitted on a history gives exactly the lists that a release of the same rows gives."""
    folder = groups.write_day(tmp_path, "2026-02-01")
    train.run(folder, "a test")
    rows = rolling_origin.rows_of(folder)
    past = ranking.history(rows.interactions, rows.catalogue)
    shipped = ranking.of_release(
        folder, rows.interactions, rows.catalogue, groups.SETTINGS, measured.DEPTH
    )
    rankers = rolling_origin.rankers(rows, groups.SETTINGS, evaluation_settings.load())
    judged = rankers[groups.SETTINGS.engine](past)
    assert (shipped.lists.book_ids == judged.book_ids).all()
    assert shipped.missing == 0
