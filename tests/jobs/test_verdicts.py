"""Verdicts over days: good models go live by themselves, planted bad ones never do."""

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.evaluation import settings as evaluation_settings
from jobs.ingest import replay
from jobs.model import settings as model_settings
from jobs.model.settings import ModelSettings
from jobs.pipeline import evaluate, extract, recommend, train, validate
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.errors import GateRefused
from jobs.validation.bounds import Bounds
from jobs.validation.result import Table
from tests.harness import planted
from tests.jobs.evaluation import groups

JUDGEMENT = evaluation_settings.load()
Days = tuple[Artifacts, ReleaseFolder, ReleaseFolder]


def _judge(artifacts: Artifacts, folder: ReleaseFolder, reference: str | None) -> dict[str, Any]:
    """Evaluate, whatever comes out, and return the decision."""
    try:
        evaluate.run(folder, artifacts, JUDGEMENT, reference=reference, run_by="a test")
    except GateRefused as refused:
        assert refused.exit_code == 3  # noqa: PT017  # the files are written before it is raised
    content: dict[str, Any] = json.loads(folder.decision.read_text(encoding="utf-8"))
    return content


def _days(root: Path, settings: ModelSettings) -> Days:
    """Yesterday with its lists, and today, trained."""
    found = []
    for partition, rows in (("2026-02-01", groups.ROWS - 160), ("2026-02-02", groups.ROWS)):
        folder = groups.write_day(root, partition, rows, settings=settings)
        train.run(folder, "a test")
        found.append(folder)
    recommend.run(found[0], "a test")
    return Artifacts(root), found[0], found[1]


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Days:
    """Two days of ALS."""
    return _days(tmp_path_factory.mktemp("artifacts"), groups.SETTINGS)


@pytest.fixture(scope="module")
def days_of_ease(tmp_path_factory: pytest.TempPathFactory) -> Days:
    """Two days of EASE."""
    return _days(tmp_path_factory.mktemp("artifacts"), groups.EASE)


@pytest.mark.parametrize("engine", ["days", "days_of_ease"])
def test_a_good_day_goes_live(engine: str, request: pytest.FixtureRequest) -> None:
    """The same settings on a day more of the same readers: go, and found to be the reference's equal."""
    days: Days = request.getfixturevalue(engine)
    artifacts, yesterday, today = days
    decision = _judge(artifacts, today, yesterday.release)
    assert decision["verdict"] == "go", decision["reasons"]
    codes = {reason["code"] for reason in decision["reasons"]}
    assert codes == {"beats_recent_popularity", "same_as_reference"}
    assert decision["comparison"]["rows"] == 160


def test_a_good_first_day_goes_live(days: Days) -> None:
    """Without a reference the comparison with recent popularity decides."""
    artifacts, _, today = days
    decision = _judge(artifacts, today, None)
    assert (decision["verdict"], decision["comparison"]) == ("go", None)


@pytest.mark.parametrize("name", planted.MODELS)
@pytest.mark.parametrize("with_reference", [True, False])
def test_a_planted_bad_model_never_goes_live(
    name: str, with_reference: bool, days: Days, tmp_path: Path
) -> None:
    """With a reference and without, each bad model is stopped."""
    _, yesterday, today = days
    copy = Artifacts(tmp_path).release(today.release)
    shutil.copytree(today.root, copy.root)
    shutil.copytree(yesterday.root, tmp_path / "releases" / yesterday.release)
    planted.plant(name, copy, yesterday)
    reference = yesterday.release if with_reference else None
    decision = _judge(Artifacts(tmp_path), copy, reference)
    assert decision["verdict"] == "stop", decision["reasons"]


def test_a_planted_shift_of_ease_never_goes_live(days_of_ease: Days, tmp_path: Path) -> None:
    """Yesterday's weights under the ids of the next books: stopped, with a reference and without."""
    _, yesterday, today = days_of_ease
    shutil.copytree(today.root.parent, tmp_path / "releases")
    copy = Artifacts(tmp_path).release(today.release)
    planted.plant("shifted_from_yesterday", copy, yesterday)
    for reference in (yesterday.release, None):
        decision = _judge(Artifacts(tmp_path), copy, reference)
        assert decision["verdict"] == "stop", decision["reasons"]


def test_a_change_of_engine_is_judged_like_any_other(days: Days, tmp_path: Path) -> None:
    """A release of EASE after one of ALS: measured under its own name, compared with the other's lists."""
    _, yesterday, _ = days
    shutil.copytree(yesterday.root, tmp_path / "releases" / yesterday.release)
    folder = groups.write_day(tmp_path, "2026-02-02", settings=groups.EASE)
    train.run(folder, "a test")
    decision = _judge(Artifacts(tmp_path), folder, yesterday.release)
    assert set(decision["metrics"]) == {"ease", "recent_popularity", "all_time_popularity"}
    assert decision["comparison"]["reference"] == yesterday.release
    assert decision["verdict"] in {"go", "hold"}, decision["reasons"]


def test_a_source_without_order_is_held(tmp_path: Path) -> None:
    """Where rows tell no time, quality is not measurable, and that is said."""
    folder = groups.write_day(tmp_path, "2026-02-01", ordered=False)
    train.run(folder, "a test")
    decision = _judge(Artifacts(tmp_path), folder, None)
    assert decision["verdict"] == "hold"
    assert [reason["code"] for reason in decision["reasons"]] == ["not_measurable"]
    assert json.loads(folder.evaluation.read_text())["metrics"] == {}


def test_few_rows_are_no_evidence(tmp_path: Path) -> None:
    """With a handful of users who read on there is no evidence, and no go."""
    folder = groups.write_day(tmp_path, "2026-02-01", rows=300)
    train.run(folder, "a test")
    decision = _judge(Artifacts(tmp_path), folder, None)
    assert decision["verdict"] != "go"
    assert "no_evidence" in {reason["code"] for reason in decision["reasons"]}


def _day(artifacts: Artifacts, partition: str, reference: str | None) -> ReleaseFolder:
    """Run the chain of a day up to its training."""
    extracted = extract.run(
        artifacts.drops,
        artifacts.releases,
        partition,
        model_settings.load(None),
        max_reject_share=0.05,
        run_by="a test",
    )
    folder = artifacts.release(extracted.release)
    tables: tuple[Table, ...] = ("interactions", "books")
    for table in tables:
        validate.run(
            folder,
            table,
            artifacts.release(reference) if reference else None,
            bounds=Bounds(),
            max_reject_share=0.05,
            run_by="a test",
        )
    train.run(folder, "a test")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_thirty_real_days_go_live_and_planted_ones_do_not(goodbooks: Path, tmp_path: Path) -> None:
    """Of 30 replayed days with unchanged settings at least 95 % are go; on the last, every planted model is not."""
    if goodbooks.name != "goodbooks-profiles":
        pytest.skip("thirty days need GOODBOOKS_DIR: the excerpt is too small to show anything")
    first, days = date(2026, 1, 1), 100
    artifacts = Artifacts(tmp_path)
    replay.run(goodbooks, artifacts.drops, first, first + timedelta(days=days - 1))
    before: str | None = None
    live: str | None = None
    verdicts = []
    for day in range(days - 31, days):
        folder = _day(artifacts, (first + timedelta(days=day)).isoformat(), live)
        decision = _judge(artifacts, folder, live)
        recommend.run(folder, "a test")
        told = decision["comparison"] or {}
        codes = [reason["code"] for reason in decision["reasons"]]
        print(folder.release, decision["verdict"], told.get("overlap"), codes, flush=True)
        verdicts.append(decision["verdict"])
        if decision["verdict"] == "go":
            before, live = live, folder.release
    assert verdicts[1:].count("go") >= 0.95 * 30, verdicts
    assert before is not None
    yesterday = artifacts.release(before)
    kept = folder.factors.read_bytes()
    for name in planted.MODELS:
        planted.plant(name, folder, yesterday)
        decision = _judge(artifacts, folder, before)
        codes = [reason["code"] for reason in decision["reasons"]]
        print(name, decision["verdict"], codes, flush=True)
        assert decision["verdict"] != "go", (name, decision)
        folder.factors.write_bytes(kept)
