"""Airflow on Postgres: one setting, and a day goes from its drop to a list over HTTP."""

from datetime import date
from pathlib import Path

import pytest

from tests.dags.running_airflow import TRAIN, on_postgres, published, release_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_day_on_postgres(
    small_books: Path, quick_settings: Path, days: list[date], tmp_path: Path
) -> None:
    """With one setting everything is kept in Postgres, nothing in SQLite; a second start finds it again."""
    with on_postgres(small_books, quick_settings, days[:1], tmp_path) as (running, _):
        running.airflow.unpause(TRAIN)
        run = running.airflow.trigger(TRAIN, {}, str(days[0]))
        state = running.airflow.wait(TRAIN, run)
        assert state == "success", running.airflow.failures(TRAIN, run)
        published(running, 1)
        release = release_of(running, {"dag_run_id": run})
        running.edge.wait_for(release)
        assert not list(running.folder.glob("*.db"))
        running.control("down")
        running.control("up")
        assert running.airflow.get(f"/dags/{TRAIN}/dagRuns/{run}")["state"] == "success"
