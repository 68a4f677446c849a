"""A day whose drop is late: waited for without a worker, by no backfill, and told as late when it does not come."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.dags.edge_replica import EdgeReplica
from tests.dags.shelf import Shelf, states

_DAY = "2026-11-20"


class Sent(list[dict[str, Any]]):
    """The alerts that a receiver got, and its address."""

    url = ""


@pytest.fixture
def sent() -> Iterator[Sent]:
    """What takes alerts in Alertmanager's place."""
    got = Sent()

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Nothing is logged."""

    with HTTPServer(("127.0.0.1", 0), Take) as server:
        got.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield got
        server.shutdown()


@pytest.fixture
def runs(dag_bag: Any, tmp_path: Path) -> Callable[..., Any]:
    """A function that carries out a run of the training for the day, with settings of its own, on empty artifacts."""
    assert not dag_bag.import_errors
    environment = {"NIGHTSHELF_ARTIFACTS": str(tmp_path)}
    nothing = Shelf(tmp_path, "", [], cast("EdgeReplica", None), environment)

    def do(person: Callable[[], None] | None = None, **settings: str) -> Any:
        return nothing.run("recommender_train", partition=_DAY, person=person, environment=settings)

    return do


def _land(artifacts: Path) -> None:
    """Land a file that extract refuses once it reads it: that ends the run."""
    folder = artifacts / "drops" / "ratings" / f"ds={_DAY}"
    folder.mkdir(parents=True)
    (folder / "part-0.parquet").write_bytes(b"no parquet")


def test_a_drop_that_comes_is_waited_for(runs: Callable[..., Any], tmp_path: Path) -> None:
    """The run looks, rests without a worker, and extract reads the drop once it is there."""
    looks = 0

    def person() -> None:
        nonlocal looks
        looks += 1
        if looks == 20:
            _land(tmp_path)

    ended = runs(person, NIGHTSHELF_DROP_WAIT_S="600")
    assert looks >= 20
    assert (states(ended)["drop"], states(ended)["extract"]) == ("success", "failed")


def test_a_drop_that_does_not_come_is_late_and_not_skipped(
    runs: Callable[..., Any], sent: Sent, own_log: Callable[[], list[str]]
) -> None:
    """Once the wait is over the run has failed, and the alert names DAG, day, and what is missing."""
    ended = runs(NIGHTSHELF_DROP_WAIT_S="1", NIGHTSHELF_ALERTMANAGER=sent.url)
    assert (states(ended)["drop"], states(ended)["extract"]) == ("failed", "upstream_failed")
    assert str(ended.state) == "failed"
    (alert,) = sent
    assert alert["labels"] == {
        "alertname": "ReleaseLate",
        "severity": "warning",
        "dag": "recommender_train",
        "partition": _DAY,
    }
    assert f"no drop has arrived for {_DAY}" in alert["annotations"]["summary"]
    assert any(line.startswith(f"the drop of {_DAY} was waited for in vain") for line in own_log())


def test_an_alert_that_nobody_takes_does_not_keep_the_run_open(runs: Callable[..., Any]) -> None:
    """The run fails all the same."""
    ended = runs(NIGHTSHELF_DROP_WAIT_S="1", NIGHTSHELF_ALERTMANAGER="http://127.0.0.1:1")
    assert (states(ended)["drop"], str(ended.state)) == ("failed", "failed")


def test_a_marker_is_waited_for(runs: Callable[..., Any], tmp_path: Path, sent: Sent) -> None:
    """Files without the marker that is named are no complete drop."""
    _land(tmp_path)
    named = {"NIGHTSHELF_DROP_WAIT_S": "1", "NIGHTSHELF_DROP_MARKER": "_SUCCESS"}
    ended = runs(**named, NIGHTSHELF_ALERTMANAGER=sent.url)
    assert states(ended)["drop"] == "failed"
    assert "is not complete yet" in sent[0]["annotations"]["summary"]


@pytest.mark.usefixtures("dag_bag")
def test_a_backfill_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on at once, without a look at the drop: extract skips the day as it does without a wait."""
    from nightshelf_airflow import waiting  # noqa: PLC0415  # needs Airflow

    monkeypatch.setenv("NIGHTSHELF_COMMAND", "/nowhere")
    run = SimpleNamespace(run_type="backfill", dag_id="recommender_train", run_id="backfill__1")
    hour = timedelta(hours=1)
    assert waiting.here("2026-11-20", run, timedelta(), hour)


@pytest.mark.usefixtures("dag_bag")
def test_later_days_pass_a_day_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day waits for earlier ones that train or are about to, not for one between two looks for its drop."""
    from nightshelf_airflow import order  # noqa: PLC0415  # needs Airflow

    monkeypatch.setattr(order, "reference_for", lambda _partition: "none")
    days = {"waits": "2026-11-18", "looks": "2026-11-17", "trains": "2026-11-16"}
    tasks = {
        "waits": {"drop": "up_for_reschedule", "announce": None},
        "looks": {"drop": "running", "announce": None},
        "trains": {"drop": "success", "announce": None},
        "own": {"drop": "success", "announce": None},
    }
    ti = SimpleNamespace(
        run_id="own",
        get_task_states=lambda **_: tasks,
        get_dagrun_state=lambda *_: "running",
        xcom_pull=lambda run_id, **_: days[run_id],
    )
    found = order.blocking(ti, order.TRAIN, "2026-11-19", frozenset({"running"}))
    assert sorted(found) == ["looks", "trains"]


def test_the_dag_by_the_wait(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a wait there is no task for it and one run at a time; with one, later days have runs beside it."""
    plain = dag_bag.dags["recommender_train"]
    assert (plain.max_active_runs, "drop" in plain.task_ids) == (1, False)
    monkeypatch.setenv("NIGHTSHELF_DROP_WAIT_S", str(30 * 3600))
    nothing = Shelf(Path(), "", [], cast("EdgeReplica", None))
    waiting = nothing.load("recommender_train")
    assert waiting.max_active_runs == 3
    task = waiting.get_task("drop")
    assert (task.mode, task.upstream_task_ids, task.downstream_task_ids) == (
        "reschedule",
        {"partition"},
        {"turn"},
    )
    first, last = waiting.deadline
    assert last.interval - first.interval == timedelta(hours=30)
    assert first.interval == plain.deadline[0].interval


@pytest.mark.usefixtures("dag_bag")
def test_the_wait_is_no_part_of_the_training_s_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: Sent
) -> None:
    """A run is late so long after its drop; not while it waits, not soon after, and also where that cannot be told."""
    from nightshelf_airflow import waiting  # noqa: PLC0415  # needs Airflow

    command = tmp_path / "nightshelf"
    monkeypatch.setenv("NIGHTSHELF_COMMAND", str(command))
    monkeypatch.setenv("NIGHTSHELF_ALERTMANAGER", sent.url)
    context = {
        "dag_run": {
            "dag_id": "recommender_train",
            "dag_run_id": "scheduled__1",
            "partition_key": "2026-11-20",
        },
        "deadline": {"deadline_time": "2026-11-21 04:00:00+00:00"},
    }

    def alerts(script: str) -> int:
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        sent.clear()
        waiting.report_if_late(context, interval_s=3600)
        return len(sent)

    def landed(age: timedelta) -> str:
        return f"""echo '{{"landed_at": "{(datetime.now(UTC) - age).isoformat()}"}}'"""

    assert alerts("exit 99") == 0
    assert alerts(landed(timedelta(minutes=30))) == 0
    assert alerts(landed(timedelta(minutes=90))) == 1
    assert alerts("exit 1") == 1
    command.unlink()
    sent.clear()
    waiting.report_if_late(context, interval_s=3600)
    assert len(sent) == 1
