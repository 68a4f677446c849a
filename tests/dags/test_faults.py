"""Airflow's faults: its scheduler killed in each task, its database gone for a minute. `make chaos-airflow`."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.dags.airflow_client import until
from tests.dags.running_airflow import (
    PUBLISH,
    TRAIN,
    Running,
    on_postgres,
    published,
    release_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

_GONE_S = 60.0


@pytest.fixture
def running(
    small_books: Path, quick_settings: Path, days: list[date], tmp_path: Path
) -> Iterator[tuple[Running, Any]]:
    """Airflow on Postgres, and the server of Postgres as a process."""
    with on_postgres(small_books, quick_settings, days[:1], tmp_path) as (airflow, pid):
        yield airflow, psutil.Process(pid)


def test_a_scheduler_killed_in_each_task_loses_no_day(
    running: tuple[Running, Any], days: list[date]
) -> None:
    """SIGKILL while each task of training and publishing runs: the day is served all the same, once and whole."""
    airflow, _ = running
    airflow.airflow.unpause(TRAIN)
    run = airflow.airflow.trigger(TRAIN, {}, str(days[0]))
    killed: set[tuple[str, str]] = set()
    orphans: list[Any] = []

    def ended() -> bool:
        for dag in (TRAIN, PUBLISH):
            for one in airflow.airflow.runs(dag):
                states = airflow.airflow.tasks(dag, one["dag_run_id"])
                fresh = {(dag, task) for task, state in states.items() if state == "running"}
                if fresh - killed:
                    orphans.extend(_kill_scheduler(airflow))
                    killed.update(fresh)
        airflow.airflow.approve_all()
        done = [one["state"] for one in airflow.airflow.runs(PUBLISH)]
        return done == ["success"]

    try:
        until(ended, lambda: (airflow.airflow.tasks(TRAIN, run), killed))
    finally:
        for process in orphans:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    assert airflow.airflow.wait(TRAIN, run) == "success"
    assert len(killed) >= 5, killed
    _served_whole(airflow, release_of(airflow, {"dag_run_id": run}))


def test_a_minute_without_the_database_loses_no_day(
    running: tuple[Running, Any], days: list[date]
) -> None:
    """Postgres does nothing for a minute while a day is trained: the edge goes on, and the day gets through."""
    airflow, postgres = running
    airflow.airflow.unpause(TRAIN)
    run = airflow.airflow.trigger(TRAIN, {}, str(days[0]))
    until(
        lambda: airflow.airflow.tasks(TRAIN, run).get("extract") in {"running", "success"},
        lambda: airflow.airflow.tasks(TRAIN, run),
    )
    everything = [postgres, *postgres.children(recursive=True)]
    for process in everything:
        process.suspend()
    try:
        time.sleep(_GONE_S)
    finally:
        for process in everything:
            process.resume()
    assert airflow.airflow.wait(TRAIN, run) == "success", airflow.airflow.failures(TRAIN, run)
    published(airflow, 1)
    _served_whole(airflow, release_of(airflow, {"dag_run_id": run}))


def _kill_scheduler(airflow: Running) -> list[Any]:
    """Kill it alone, as the kernel would; its process manager starts it again. Return what it leaves behind."""
    manager, *_ = airflow.processes()
    left: list[Any] = []
    for process in manager.children():
        if "scheduler" in " ".join(process.cmdline()):
            left += process.children(recursive=True)
            os.kill(process.pid, signal.SIGKILL)
    return left


def _served_whole(airflow: Running, release: str) -> None:
    """Check that the edge serves the release and that every value of it is as its files say."""
    airflow.edge.wait_for(release)
    found = airflow.nightshelf("audit", "--all")
    assert (found["release"], found["differing"]) == (release, 0)
