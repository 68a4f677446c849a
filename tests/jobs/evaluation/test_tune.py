"""Tuning: resumable, on early rows only, and what it writes can be used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jobs.evaluation import measured, ranking, rolling_origin, search
from jobs.evaluation import settings as evaluation_settings
from jobs.evaluation.ranked import NO_BOOK, Ranked
from jobs.model import settings as model_settings
from tests.harness.command_line import run
from tests.jobs.evaluation import groups


def test_a_study_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two trials, then three in all: one more is run, and the settings written can be loaded."""
    folder = groups.write_day(tmp_path, "2026-02-01")
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    found = run(capsys, "tune", "--release", folder.release, "--trials", 2)
    assert (found.exit_code, found.outcome["trials"]) == (0, 2)
    again = run(capsys, "tune", "--release", folder.release, "--trials", 3)
    assert (again.exit_code, again.outcome["trials"]) == (0, 3)
    assert again.outcome["smallest_detectable_difference"] > 0
    assert "smallest difference" in again.text
    written = Path(again.outcome["settings"])
    loaded = model_settings.load(written)
    assert (loaded.factors, loaded.seed) == (groups.SETTINGS.factors, groups.SETTINGS.seed)
    assert "interactions_sha256" in written.read_text()


def test_each_engine_is_tuned_by_its_own_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is written for a release of EASE is a file of EASE, with other values, and what is not tuned stays."""
    poor = replace(groups.EASE, regularization=1e7, popularity_exponent=20.0)
    folder = groups.write_day(tmp_path, "2026-02-01", settings=poor)
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    found = run(capsys, "tune", "--release", folder.release, "--trials", 1)
    assert (found.exit_code, found.outcome["kept"]) == (0, False)
    loaded = model_settings.load(Path(found.outcome["settings"]), "ease")
    for name in search.SPACES["ease"]:
        assert getattr(loaded, name) != getattr(poor, name), name
    assert loaded.list_length == groups.EASE.list_length


def test_nothing_worse_than_the_settings_of_the_release_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trials of which none is good: what is written are the settings it began with, and the command says so."""
    poor = {"popularity_exponent": search.Range(20, 21)}
    monkeypatch.setitem(search.SPACES, "als", poor)
    folder = groups.write_day(tmp_path, "2026-02-01")
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    found = run(capsys, "tune", "--release", folder.release, "--trials", 2)
    assert (found.exit_code, found.outcome["kept"]) == (0, True)
    assert found.outcome["ndcg_at_10"] == found.outcome["before_ndcg_at_10"] > 0
    assert "no trial was better" in found.text
    assert model_settings.load(Path(found.outcome["settings"])) == groups.SETTINGS


def test_lists_of_some_users_are_those_of_all(tmp_path: Path) -> None:
    """What is measured of the users with something to find is what a ranking of everybody gives them."""
    folder = groups.write_day(tmp_path, "2026-02-01")
    one = search.prepare(rolling_origin.rows_of(folder), 4, 0.01)[0]
    everybody = ranking.by_model(replace(one.past, only=None), groups.SETTINGS, 20)
    some = ranking.by_model(one.past, groups.SETTINGS, 20)
    assert 0 < len(some.user_ids) < len(everybody.user_ids)
    assert (some.book_ids == everybody.of(some.user_ids)).all()


def test_two_stages_are_not_tuned_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says what it tunes."""
    settings = model_settings.load(None, "two_stage")
    folder = groups.write_day(tmp_path, "2026-02-01", settings=settings)
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    found = run(capsys, "tune", "--release", folder.release, "--trials", 1)
    assert found.exit_code == 2
    assert "a release of als or ease" in found.text


def test_tuning_never_looks_behind_seventy_percent(tmp_path: Path) -> None:
    """The last row any validation slice touches is before 70 % of the rows."""
    folder = groups.write_day(tmp_path, "2026-02-01")
    width = evaluation_settings.load().slice_share
    prepared = search.prepare(rolling_origin.rows_of(folder), 4, width)
    last = max(one.cut.history.num_rows + one.cut.rows for one in prepared)
    assert len(prepared) == len(search.VALIDATION_SHARES)
    assert last <= 0.7 * groups.ROWS
    assert all(one.past.rows.height < last for one in prepared)


def test_the_search_finds_an_obvious_optimum(tmp_path: Path) -> None:
    """A ranking whose lists are empty unless its value is above 0.5: the best trial is above."""
    folder = groups.write_day(tmp_path, "2026-02-01")
    prepared = search.prepare(rolling_origin.rows_of(folder), 4, 0.01)

    def ranker(values: dict[str, float]) -> rolling_origin.Ranker:
        nothing = np.full(measured.DEPTH, NO_BOOK, dtype=np.int32)
        empty = Ranked(np.empty(0, np.int32), np.empty((0, measured.DEPTH), np.int32), nothing)
        if values["value"] <= 0.5:
            return lambda _past: empty
        return lambda past: ranking.by_popularity(past, np.inf, measured.DEPTH)

    study = search.search(
        prepared,
        {"value": search.Range(0, 1)},
        ranker,
        trials=8,
        storage=tmp_path / "study.journal",
        name="obvious",
        seed=1,
    )
    assert study.best_params["value"] > 0.5
