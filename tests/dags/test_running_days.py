"""Days in a running Airflow: a backfill, a day by schedule, the same work twice, a late day.

Real api-server, scheduler and dag-processor, a real cluster, an edge replica; one Airflow for all these tests.
"""

from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.dags.airflow_client import until
from tests.dags.running_airflow import PUBLISH, TRAIN, Running, published, release_of

#: The first test waits for Airflow's start and three days of work.
pytestmark = pytest.mark.timeout(3600)


def test_a_backfill_means_something(
    running: Running, backfilled: list[dict[str, Any]], days: list[date], small_books: Path
) -> None:
    """Three days give three releases, each judged against the day before; the newest is live and served."""
    assert [run["partition_key"] for run in backfilled] == [str(day) for day in days[-4:-1]]
    releases = [release_of(running, run) for run in backfilled]
    assert len(set(releases)) == 3
    references = [running.airflow.xcom(TRAIN, run["dag_run_id"], "reference") for run in backfilled]
    assert references == ["none", *releases[:2]]
    running.edge.wait_for(releases[-1])
    with (small_books / "ratings.csv").open(encoding="utf-8-sig") as file:
        header = file.readline().strip().split(",")
        user = file.readline().split(",")[header.index("user_id")]
    answer = running.edge.get(f"/v1/users/{user}/recommendations?limit=10")
    assert answer["release"] == releases[-1]
    assert len(answer["items"]) == 10


def test_one_more_day_by_schedule(
    running: Running, backfilled: list[dict[str, Any]], days: list[date]
) -> None:
    """Tonight's scheduled run was skipped for want of a drop; cleared once it has come, it goes live."""
    assert backfilled
    (scheduled,) = [run for run in running.airflow.runs(TRAIN) if run["run_type"] == "scheduled"]
    assert scheduled["partition_key"] == str(days[-1])
    run_id = scheduled["dag_run_id"]
    assert running.airflow.tasks(TRAIN, run_id)["extract"] == "skipped"
    body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False}
    path = f"/api/v2/dags/{TRAIN}/clearTaskInstances"
    assert running.airflow.call("POST", path, body)[0] == 200
    until(lambda: running.airflow.tasks(TRAIN, run_id)["extract"] != "skipped", lambda: run_id)
    state = running.airflow.wait(TRAIN, run_id)
    assert state == "success", running.airflow.failures(TRAIN, run_id)
    published(running, 4)
    assert running.airflow.xcom(TRAIN, run_id, "reference") == release_of(running, backfilled[-1])
    running.edge.wait_for(release_of(running, scheduled))


def test_the_same_work_twice(
    running: Running, backfilled: list[dict[str, Any]], days: list[date]
) -> None:
    """A second backfill of a day is recognised: the same id, every step reused, nothing loaded."""
    assert running.backfill(days[-2], days[-2], at_a_time=1, reprocess="completed") == 200
    until(lambda: len(running.airflow.runs(TRAIN)) == 5, lambda: running.airflow.runs(TRAIN))
    again = running.airflow.runs(TRAIN)[-1]
    assert running.airflow.wait(TRAIN, again["dag_run_id"]) == "success"
    assert release_of(running, again) == release_of(running, backfilled[-1])
    for task in ("extract", "train", "recommend"):
        assert running.airflow.xcom(TRAIN, again["dag_run_id"], task)["reused"] is True, task
    live = running.edge.release()
    published(running, 5)
    states = running.airflow.tasks(PUBLISH, running.airflow.runs(PUBLISH)[-1]["dag_run_id"])
    assert states["publish"] == states["activate"] == "skipped"
    assert running.edge.release() == live


def test_a_late_day_is_reported(running: Running, backfilled: list[dict[str, Any]]) -> None:
    """A run that is not done by its deadline stands in Alertmanager, with its day and all that a message tells."""
    wanted = {run["partition_key"] for run in backfilled}
    alertmanager = running.alertmanager
    until(
        lambda: wanted <= {alert["labels"]["partition"] for alert in alertmanager.alerts()},
        alertmanager.alerts,
    )
    for alert in alertmanager.alerts():
        assert (alert["labels"]["alertname"], alert["labels"]["dag"]) == ("ReleaseLate", TRAIN)
        assert alert["labels"]["severity"] == "warning"
        told = alert["annotations"]
        assert alert["labels"]["partition"] in told["summary"]
        assert "It was due at 20" in told["description"]
        assert told["runbook_url"] == "monitoring/runbook.md#releaselate"
        assert told["dashboard_url"] == "/d/nightshelf-batch"
        # Nobody repeats the alert, and after Alertmanager's five minutes of silence it would count as over.
        lasts = datetime.fromisoformat(alert["endsAt"]) - datetime.fromisoformat(alert["startsAt"])
        assert lasts > timedelta(hours=23)


def test_trainings_take_turns(running: Running, backfilled: list[dict[str, Any]]) -> None:
    """Three days backfilled at a time: no two tasks of the pool ever ran at once, whatever they belong to."""
    found = running.airflow.get("/dags/~/dagRuns/~/taskInstances?pool=nightshelf&limit=1000")
    spans = sorted(
        (datetime.fromisoformat(task["start_date"]), datetime.fromisoformat(task["end_date"]))
        for task in found["task_instances"]
        if task["start_date"] and task["end_date"]
    )
    # extract, two validations, train, evaluate, recommend a day
    assert len(spans) >= 6 * len(backfilled)
    for (_, ended), (begun, _) in pairwise(spans):
        assert ended <= begun
