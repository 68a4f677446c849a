"""Fixtures for the DAGs: an Airflow home of the test session, the jobs environment, small real data.

These tests run where Airflow is installed (`make test-dags`); elsewhere they are not collected.
"""

import csv
import importlib.util
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.environment import Node, node_list
from tests import conftest as whole
from tests.dags import running_airflow
from tests.dags import shelf as shelves
from tests.dags.airflow_client import until
from tests.dags.places import JOBS, ROOT
from tests.dags.running_airflow import TRAIN, Running, published

HAS_AIRFLOW = importlib.util.find_spec("airflow") is not None
collect_ignore_glob = [] if HAS_AIRFLOW else ["test_*.py"]

_ROWS = 30_000
#: So long the tests with a running Airflow take on a busy machine.
_NEAR_MIDNIGHT = timedelta(minutes=15)
_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
_TEST_DAGS = Path(__file__).with_name("bundle")

if HAS_AIRFLOW:
    # Airflow reads these when it is imported, so they are set before any test module is.
    _home = Path(tempfile.mkdtemp(prefix="nightshelf-airflow-"))
    os.environ.update(
        {
            "AIRFLOW_HOME": str(_home),
            "AIRFLOW_CONFIG": str(_home / "airflow.cfg"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
                [
                    {"name": name, "classpath": _BUNDLE, "kwargs": {"path": str(path)}}
                    for name, path in (("dags-folder", ROOT / "dags"), ("tests", _TEST_DAGS))
                ]
            ),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(_home / "logs"),
            "NIGHTSHELF_COMMAND": str(JOBS / "bin" / "nightshelf"),
            "NIGHTSHELF_RETRY_DELAY_S": "0",
            "NIGHTSHELF_POKE_S": "1",
        }
    )
    sys.path.insert(0, str(ROOT / "dags"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep Airflow's and its libraries' warnings about each other from failing tests; our own files' still do."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            if item.get_closest_marker("timeout") is None:
                # The first test that needs it waits for Airflow's start; on a busy machine that takes minutes.
                item.add_marker(pytest.mark.timeout(1800))
            item.add_marker(pytest.mark.filterwarnings("default"), append=False)
            item.add_marker(pytest.mark.filterwarnings("error:::(nightshelf_|recommender_)"))


def pytest_sessionfinish() -> None:
    """Remove the session's Airflow home."""
    if HAS_AIRFLOW:
        shutil.rmtree(_home, ignore_errors=True)


@pytest.fixture(scope="session")
def days() -> list[date]:
    """The last six days, oldest first; the newest is yesterday, which is what tonight's schedule stands for."""
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    if midnight - now < _NEAR_MIDNIGHT:
        # The schedule would start another run in the middle of the tests.
        time.sleep((midnight - now).total_seconds() + 1)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    return [yesterday - timedelta(days=age) for age in range(5, -1, -1)]


@pytest.fixture(scope="session")
def small_books(goodbooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real data's first 30,000 ratings (all of it where there are fewer), its other files as they are."""
    folder = tmp_path_factory.mktemp("small-books")
    for file in goodbooks.iterdir():
        if file.is_file() and file.name != "ratings.csv":
            shutil.copy(file, folder)
    with (
        (goodbooks / "ratings.csv").open(encoding="utf-8-sig", newline="") as given,
        (folder / "ratings.csv").open("w", encoding="utf-8", newline="") as cut,
    ):
        writer = csv.writer(cut)
        writer.writerows(row for row, _ in zip(csv.reader(given), range(_ROWS + 1), strict=False))
    return folder


@pytest.fixture(scope="session")
def quick_settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model settings that train in a moment."""
    path = tmp_path_factory.mktemp("settings") / "model.toml"
    full = (ROOT / "jobs" / "model" / "settings.toml").read_text(encoding="utf-8")
    small = re.sub(r"(?m)^factors = \d+", "factors = 16", full)
    path.write_text(re.sub(r"(?m)^iterations = \d+", "iterations = 3", small), encoding="utf-8")
    return path


@pytest.fixture
def jobs_environment(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    redis_nodes: tuple[Node, ...],
    quick_settings: Path,
) -> Path:
    """Let the `nightshelf` command work in an empty artifacts folder and an empty cluster; returns the folder."""
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(artifacts))
    monkeypatch.setenv("NIGHTSHELF_REDIS", node_list(redis_nodes))
    monkeypatch.setenv("NIGHTSHELF_MODEL_SETTINGS", str(quick_settings))
    return artifacts


@pytest.fixture(scope="session")
def _database() -> None:
    from airflow.utils.db import initdb  # noqa: PLC0415  # Airflow is not installed everywhere

    initdb()


@pytest.fixture(scope="session")
def dag_bag(_database: None) -> Any:
    """All DAGs, as Airflow reads them."""
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # the same

    return DagBag(ROOT / "dags")


@pytest.fixture(scope="session")
def shelf(
    _database: None,
    small_books: Path,
    quick_settings: Path,
    days: list[date],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[shelves.Shelf]:
    """A live first day on a cluster of its own, which no other test empties."""
    artifacts = tmp_path_factory.mktemp("artifacts")
    with (
        whole.running_cluster(tmp_path_factory.mktemp("shelf")) as nodes,
        shelves.begun(nodes, small_books, quick_settings, days, artifacts) as found,
    ):
        yield found


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages are kept: the folder in NIGHTSHELF_SCREENSHOTS if there is one."""
    given = os.environ.get("NIGHTSHELF_SCREENSHOTS")
    return Path(given) if given else tmp_path_factory.mktemp("screenshots")


@pytest.fixture
def own_log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that gives what the DAGs' own code has logged, oldest first."""
    caplog.set_level(logging.INFO)
    return lambda: [r.getMessage() for r in caplog.records if r.name.startswith("nightshelf_")]


@pytest.fixture(scope="session")
def running(
    small_books: Path,
    quick_settings: Path,
    days: list[date],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """A running Airflow on a cluster of its own, which no other test empties, six days of drops landed."""
    scratch = tmp_path_factory.mktemp("running")
    with running_airflow.started(small_books, quick_settings, days, scratch) as found:
        yield found


@pytest.fixture(scope="session")
def backfill_begun(running: Running, days: list[date]) -> Iterator[Callable[[], None]]:
    """Ask by REST for the three days before yesterday, all at a time; gives what waits for their end.

    Yesterday's drop is late: it is there when they have ended.
    """
    newest = running.artifacts / "drops" / "ratings" / f"ds={days[-1]}"
    late = newest.rename(running.artifacts / "late")
    assert running.backfill(days[-4], days[-2], at_a_time=3) == 200
    running.airflow.unpause(TRAIN)
    with running.airflow.saying_yes() as stop_saying_yes:

        def wait() -> None:
            stop_saying_yes()
            # At midnight a day more is due, for which no drop has landed.
            until(
                lambda: len(running.airflow.runs(TRAIN)) >= 4, lambda: running.airflow.runs(TRAIN)
            )
            for run in running.airflow.runs(TRAIN):
                state = running.airflow.wait(TRAIN, run["dag_run_id"])
                assert state == "success", running.airflow.failures(TRAIN, run["dag_run_id"])
            published(running, 3)
            late.rename(newest)

        yield wait


@pytest.fixture(scope="session", autouse=True)
def _early(request: pytest.FixtureRequest) -> None:
    """Let the backfill run beside the tests that do not need it: they take as long as it does."""
    if any("backfilled" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("backfill_begun")


@pytest.fixture(scope="session")
def backfilled(running: Running, backfill_begun: Callable[[], None]) -> list[dict[str, Any]]:
    """The runs of the three days before yesterday, once they have ended; by then yesterday's drop is there."""
    backfill_begun()
    return [run for run in running.airflow.runs(TRAIN) if run["run_type"] == "backfill"]
