"""What Airflow costs: its start, time beside the same chain by `nightshelf run`, memory, a backfill of seven days.

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

from schemas.environment import Node, node_list
from tests.dags import running_airflow
from tests.dags.airflow_client import until
from tests.dags.places import JOBS, ROOT
from tests.dags.running_airflow import PUBLISH, TRAIN, Running

pytestmark = pytest.mark.bench

_MIB = 1 << 20
_SAMPLE_S = 5.0
_DAY_DEADLINE_S = 600.0
#: What people have, not what the tests hurry with; the wait is the shortest that is allowed.
_AS_SHIPPED = {"NIGHTSHELF_TRAIN_DEADLINE_S": "14400", "NIGHTSHELF_POKE_S": "5"}


def _flush(nodes: tuple[Node, ...]) -> None:
    for node in nodes:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()


def _nightshelf(environment: dict[str, str], *arguments: str) -> float:
    started = time.monotonic()
    program = [str(JOBS / "bin" / "nightshelf"), *arguments]
    subprocess.run(program, env=environment, check=True, capture_output=True)
    return time.monotonic() - started


def _memory(running: Running) -> float:
    """Return the proportional set size of Airflow's processes, the jobs left out, in MiB."""
    total = 0
    for process in running.processes():
        try:
            if "nightshelf" not in process.name():
                total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / _MIB


@contextmanager
def _sampled(running: Running) -> Iterator[list[float]]:
    """Sample the memory while the block runs."""
    samples = [_memory(running)]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(_SAMPLE_S):
            samples.append(_memory(running))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


@pytest.mark.timeout(3600)
def test_cost(
    redis_cluster: tuple[Node, ...], goodbooks: Path, days: list[date], tmp_path: Path
) -> None:
    """Print: the start; one day by `nightshelf run`, the same day by Airflow, memory, seven more days backfilled."""
    # Yesterday has no drop, so the run that the scheduler starts by itself is skipped.
    week = [days[-1] - timedelta(days=age) for age in range(8, 0, -1)]
    addresses = node_list(redis_cluster)
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
        running_airflow.started(
            goodbooks, shipped, week, scratch, nodes=redis_cluster, settings=_AS_SHIPPED
        ) as running,
        _sampled(running) as memory,
    ):
        running.airflow.unpause(TRAIN)
        running.airflow.trigger(TRAIN, {}, str(week[0]))
        by_airflow = _until_published(running, trained=2, published=1)
        print(f"one day: {by_command:.1f} s by command, {by_airflow:.1f} s by Airflow", flush=True)
        assert running.backfill(week[1], week[-1], at_a_time=1) == 200
        seven = _until_published(running, trained=9, published=8)
        figures = {
            "from_nothing_to_visible_dags_s": round(running.start_s, 1),
            "one_day_by_command_s": round(by_command, 1),
            "one_day_by_airflow_s": round(by_airflow, 1),
            "ratio": round(by_airflow / by_command, 2),
            "airflow_idle_mib": round(memory[0]),
            "airflow_peak_mib": round(max(memory)),
            "seven_days_backfilled_s": round(seven, 1),
            "approvals_in_these_days": len(running.airflow.approved),
        }
    print(json.dumps(figures))


def _until_published(running: Running, *, trained: int, published: int) -> float:
    """Wait until that many runs have ended well in both DAGs; return how long it took, in seconds."""
    begun = time.monotonic()
    for dag, count in ((TRAIN, trained), (PUBLISH, published)):

        def ended(dag: str = dag, count: int = count) -> bool:
            running.airflow.approve_all()
            runs = running.airflow.runs(dag)
            for run in runs:
                assert run["state"] != "failed", running.airflow.failures(dag, run["dag_run_id"])
            return len([run for run in runs if run["state"] == "success"]) == count

        until(ended, lambda dag=dag: running.airflow.runs(dag), count * _DAY_DEADLINE_S)  # type: ignore[misc]
    return time.monotonic() - begun
