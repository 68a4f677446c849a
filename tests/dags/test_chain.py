"""The DAGs from a real folder of books down to a list over HTTP, and what bad days do to them.

One shelf for the module: the first day's release is live before any test. Each test leaves it live.
"""

import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import redis

from schemas.environment import Node
from tests.conftest import free_ports
from tests.dags import edge_replica
from tests.dags.edge_replica import EdgeReplica
from tests.dags.places import JOBS, ROOT


@dataclass(frozen=True)
class Shelf:
    """A live first day: artifacts, its release, the days there are drops for, and an edge replica."""

    artifacts: Path
    release: str
    days: list[date]
    edge: EdgeReplica

    def run(self, dag: str, **params: Any) -> Any:
        """Carry out one run of a DAG and return it."""
        # Airflow 3.3.2's `dag.test()` breaks off at the end of a DAG with a deadline: it looks the alert up by
        # its definition instead of its id. A real scheduler meets the deadline in test_running_days.py.
        found = self.load(dag)
        found.deadline = None
        rest = time.sleep
        with pytest.MonkeyPatch.context() as patch:
            # `dag.test()` rests a second at each step of a failure's way down the DAG: 6 s a bad day.
            patch.setattr(time, "sleep", lambda _seconds: rest(0.02))
            return found.test(run_conf=params)

    def load(self, dag: str) -> Any:
        """Read a DAG anew: `dag.test()` leaves the parameters of a run in the object."""
        from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # not installed everywhere

        return DagBag(ROOT / "dags" / f"{dag}.py").dags[dag]

    def drop(self, day: date) -> Path:
        """Return the one file of a day's drop."""
        (file,) = (self.artifacts / "drops" / "ratings" / f"ds={day}").glob("*.parquet")
        return file


def states(run: Any) -> dict[str, str]:
    """Return the state of each task."""
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def nightshelf(*arguments: str) -> dict[str, Any]:
    """Run a command as a person would and return its outcome."""
    process = subprocess.run(
        [str(JOBS / "bin" / "nightshelf"), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    outcome: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return outcome


@pytest.fixture(scope="module")
def shelf(  # fixtures
    _database: None,
    redis_cluster: tuple[Node, ...],
    small_books: Path,
    quick_settings: Path,
    days: list[date],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shelf]:
    """Land six days of drops, train the first, publish it, serve it: each by the DAG that does this."""
    for node in redis_cluster:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()
    artifacts = tmp_path_factory.mktemp("artifacts")
    addresses = ",".join(f"{node.host}:{node.port}" for node in redis_cluster)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTSHELF_ARTIFACTS", str(artifacts))
        patch.setenv("NIGHTSHELF_REDIS", addresses)
        patch.setenv("NIGHTSHELF_MODEL_SETTINGS", str(quick_settings))
        port = free_ports(1)[0]
        with edge_replica.running(JOBS / "bin" / "nightshelf-edge", addresses, port) as edge:
            begun = Shelf(artifacts, "", days, edge)
            landed = begun.run(
                "recommender_replay",
                source=str(small_books),
                first_day=str(days[0]),
                last_day=str(days[-1]),
                first_day_share=0.9,
            )
            assert states(landed) == {"land": "success"}
            trained = begun.run("recommender_train", partition=str(days[0]))
            assert set(states(trained).values()) == {"success"}, states(trained)
            release = trained.get_task_instance("announce").xcom_pull(task_ids="announce")[
                "release"
            ]
            published = begun.run("recommender_publish", release=release)
            # The first release goes live without asking, whatever the verdict.
            assert states(published) == {
                "partition": "success",
                "standing": "success",
                "approve": "skipped",
                "publish": "success",
                "activate": "success",
                "retire": "success",
            }
            edge.wait_for(release)
            yield Shelf(artifacts, release, days, edge)


@pytest.fixture
def own_log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that gives what the DAGs' own code has logged, oldest first."""
    caplog.set_level(logging.INFO)
    return lambda: [r.getMessage() for r in caplog.records if r.name.startswith("nightshelf_")]


def test_a_list_comes_over_http(shelf: Shelf, small_books: Path) -> None:
    """A user of the real data gets ten books of the release that the DAGs made live."""
    with (small_books / "ratings.csv").open(encoding="utf-8-sig") as file:
        header = file.readline().strip().split(",")
        user = file.readline().split(",")[header.index("user_id")]
    answer = shelf.edge.get(f"/v1/users/{user}/recommendations?limit=10")
    assert answer["release"] == shelf.release
    assert len(answer["items"]) == 10
    report = shelf.artifacts / "releases" / shelf.release / "report.html"
    assert shelf.release in report.read_text(encoding="utf-8")


def test_the_manifest_names_the_run(shelf: Shelf) -> None:
    """A release says which DAG and which run trained it, and which published it."""
    folder = shelf.artifacts / "releases" / shelf.release
    trained = json.loads((folder / "records" / "train.json").read_text(encoding="utf-8"))
    assert trained["run_by"].startswith("recommender_train/manual__")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["run_by"].startswith("recommender_publish/manual__")


def test_a_second_day_and_a_way_back(shelf: Shelf) -> None:
    """The second day is judged against the first; an older release is not loaded again; a rollback goes back."""
    second = shelf.days[1]
    trained = shelf.run("recommender_train", partition=str(second))
    assert set(states(trained).values()) == {"success"}, states(trained)
    assert trained.get_task_instance("reference").xcom_pull(task_ids="reference") == shelf.release
    release = trained.get_task_instance("announce").xcom_pull(task_ids="announce")["release"]
    nightshelf("publish", "--release", release)
    nightshelf("activate", "--release", release, "--approved-by", "a test", "--reason", "a test")
    shelf.edge.wait_for(release)

    older = shelf.run("recommender_publish", release=shelf.release)
    assert states(older)["publish"] == states(older)["activate"] == "skipped"
    loaded = shelf.run("recommender_publish", release=shelf.release, publish_older=True)
    assert (states(loaded)["publish"], states(loaded)["activate"]) == ("success", "skipped")
    assert shelf.edge.release() == release

    back = shelf.run("recommender_rollback", release=shelf.release, reason="the second is worse")
    assert states(back) == {"check": "success", "rollback": "success"}
    shelf.edge.wait_for(shelf.release)


def test_a_rollback_to_what_is_not_loaded(shelf: Shelf, own_log: Callable[[], list[str]]) -> None:
    """An id that is not loaded is refused, with the list of those that are."""
    unknown = f"{shelf.days[0]}-ffffffff"
    ended = shelf.run("recommender_rollback", release=unknown, reason="a slip of the pen")
    assert states(ended) == {"check": "failed", "rollback": "upstream_failed"}
    assert own_log()[0].startswith(f"release {unknown} cannot be gone back to: it is not loaded\n")
    assert shelf.edge.release() == shelf.release


def test_a_run_without_a_partition(shelf: Shelf, own_log: Callable[[], list[str]]) -> None:
    """A run that stands for no day is refused before anything is computed."""
    ended = shelf.run("recommender_train")
    assert states(ended)["partition"] == "failed"
    assert states(ended)["extract"] == "upstream_failed"
    assert own_log()[0].startswith("this run has no partition\n  where: ")


def test_nothing_arrived(shelf: Shelf) -> None:
    """A day without a drop is skipped: nothing is announced, the live release stays."""
    drop = shelf.drop(shelf.days[2]).parent
    away = drop.rename(shelf.artifacts / "away")
    try:
        ended = shelf.run("recommender_train", partition=str(shelf.days[2]))
    finally:
        away.rename(drop)
    assert states(ended)["extract"] == states(ended)["announce"] == "skipped"
    assert shelf.edge.release() == shelf.release


#: Programs that spoil a drop, run by the jobs environment: they read parquet, the tests' own does not.
_SPOIL = {
    "a tenth of the rows is broken": """
import sys, polars as pl
drop = pl.read_parquet(sys.argv[1]).with_row_index("i")
tenth = pl.when(pl.col("i") % 10 == 0).then(pl.lit(11)).otherwise(pl.col("rating")).alias("rating")
drop.with_columns(tenth).drop("i").write_parquet(sys.argv[1])
""",
    "the drop is empty": """
import sys, polars as pl
pl.read_parquet(sys.argv[1]).clear().write_parquet(sys.argv[1])
""",
    "a column has another name": """
import sys, polars as pl
pl.read_parquet(sys.argv[1]).rename({"rating": "stars"}).write_parquet(sys.argv[1])
""",
}


@pytest.mark.parametrize("what", _SPOIL)
def test_a_bad_drop(shelf: Shelf, own_log: Callable[[], list[str]], what: str) -> None:
    """A bad drop fails the day at once, reason first; nothing is announced and the live release stays."""
    drop = shelf.drop(shelf.days[3])
    kept = shutil.copy(drop, shelf.artifacts / "kept.parquet")
    try:
        subprocess.run([str(JOBS / "bin" / "python"), "-c", _SPOIL[what], str(drop)], check=True)
        ended = shelf.run("recommender_train", partition=str(shelf.days[3]))
    finally:
        shutil.move(kept, drop)
    failed = [task for task in ended.get_task_instances() if str(task.state) == "failed"]
    assert [task.try_number for task in failed] == [1], states(ended)
    assert states(ended)["announce"] == "upstream_failed"
    first = next(line for line in own_log() if "\n  where: " in line)
    assert first.split("\n")[1].startswith("  where: ")
    assert first.split("\n")[2].startswith("  do: ")
    assert shelf.edge.release() == shelf.release


def test_no_jobs_environment(
    shelf: Shelf, own_log: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the jobs environment the run fails at its first command and says where it looked."""
    monkeypatch.setenv("NIGHTSHELF_COMMAND", str(shelf.artifacts / "nowhere" / "nightshelf"))
    ended = shelf.run("recommender_train", partition=str(shelf.days[3]))
    assert states(ended)["extract"] == "failed"
    first = next(line for line in own_log() if "\n  where: " in line)
    assert first.startswith("the jobs environment cannot be started")
    assert shelf.edge.release() == shelf.release


def test_redis_is_away_at_publish(
    shelf: Shelf, own_log: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nobody where Redis should be, publishing is tried again and fails; the live release stays."""
    monkeypatch.setitem(os.environ, "NIGHTSHELF_REDIS", "127.0.0.1:1")
    ended = shelf.run("recommender_publish", release=shelf.release)
    failed = [task for task in ended.get_task_instances() if str(task.state) == "failed"]
    assert [task.try_number for task in failed] == [4]
    assert "127.0.0.1:1" in own_log()[0]
    assert shelf.edge.release() == shelf.release
