"""What Airflow costs: time beside the same chain by `nightshelf run`, memory, a backfill of seven days.

Run by `make bench-dags` on the whole of GOODBOOKS_DIR with the settings that the project ships.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import psutil
import pytest
import redis

from schemas.environment import Node
from tests.dags import running_airflow
from tests.dags.places import JOBS, ROOT
from tests.dags.running_airflow import PUBLISH, TRAIN, Running

pytestmark = pytest.mark.bench

_MIB = 1 << 20


def _flush(nodes: tuple[Node, ...]) -> None:
    for node in nodes:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()


def _nightshelf(environment: dict[str, str], *arguments: str) -> float:
    started = time.monotonic()
    program = [str(JOBS / "bin" / "nightshelf"), *arguments]
    subprocess.run(program, env=environment, check=True, capture_output=True)
    return time.monotonic() - started


@contextmanager
def _peak(running: Running) -> Iterator[dict[str, float]]:
    """Sample the memory of Airflow's processes, the jobs left out, in MiB of proportional set size."""
    peak = {"MiB": 0.0}
    done = threading.Event()

    def sample() -> None:
        while not done.wait(1.0):
            total = 0
            for process in running.processes():
                try:
                    if "nightshelf" not in process.name():
                        total += process.memory_full_info().pss
                except psutil.NoSuchProcess:
                    continue
            peak["MiB"] = max(peak["MiB"], total / _MIB)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


@pytest.mark.timeout(3600)
def test_cost(
    redis_cluster: tuple[Node, ...], goodbooks: Path, days: list[date], tmp_path: Path
) -> None:
    """Print: one day by `nightshelf run`, the same day by Airflow, peak memory, seven more days backfilled."""
    # Yesterday has no drop, so the run that the scheduler starts by itself is skipped.
    week = [days[-1] - timedelta(days=age) for age in range(8, 0, -1)]
    addresses = ",".join(f"{node.host}:{node.port}" for node in redis_cluster)
    alone = {
        **os.environ,
        "NIGHTSHELF_ARTIFACTS": str(tmp_path / "alone"),
        "NIGHTSHELF_REDIS": addresses,
    }
    _flush(redis_cluster)
    span = ("--from", str(week[0]), "--to", str(week[-1]), "--first-day-share", "0.9")
    _nightshelf(alone, "replay", "--source", str(goodbooks), *span)
    by_command = _nightshelf(alone, "run", "--partition", str(week[0]))
    _flush(redis_cluster)

    scratch = tmp_path / "running"
    scratch.mkdir()
    shipped = ROOT / "jobs" / "model" / "settings.toml"
    with (
        running_airflow.started(addresses, goodbooks, shipped, week, scratch) as running,
        _peak(running) as peak,
    ):
        running.airflow.unpause(TRAIN)
        running.airflow.trigger(TRAIN, {}, str(week[0]))
        by_airflow = _until_published(running, 2, 1)
        print(f"one day: {by_command:.1f} s by command, {by_airflow:.1f} s by Airflow", flush=True)
        assert running.backfill(week[1], week[-1], at_a_time=7) == 200
        seven = _until_published(running, 9, 8)
    figures = {
        "one_day_by_command_s": round(by_command, 1),
        "one_day_by_airflow_s": round(by_airflow, 1),
        "ratio": round(by_airflow / by_command, 2),
        "airflow_peak_mib": round(peak["MiB"]),
        "seven_days_backfilled_s": round(seven, 1),
    }
    print(json.dumps(figures))


def _until_published(running: Running, trained: int, published: int) -> float:
    """Wait until that many runs have ended in both DAGs; return how long it took."""
    begun = time.monotonic()
    for dag, runs in ((TRAIN, trained), (PUBLISH, published)):
        while len(running.airflow.runs(dag)) < runs:
            running.airflow.approve_all()
            time.sleep(0.5)
        for run in running.airflow.runs(dag):
            assert running.airflow.wait(dag, run["dag_run_id"], deadline_s=1800) == "success"
    return time.monotonic() - begun
