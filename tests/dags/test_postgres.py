"""Airflow on Postgres: one setting, and a day goes from its drop to a list over HTTP."""

import tempfile
from datetime import date
from pathlib import Path

import pytest

from tests.conftest import free_ports
from tests.dags import running_airflow
from tests.dags.running_airflow import TRAIN, published, release_of
from tests.postgres import running_postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_day_on_postgres(
    small_books: Path, quick_settings: Path, days: list[date], tmp_path: Path
) -> None:
    """With one setting everything is kept in Postgres, nothing in SQLite; a second start finds it again."""
    (port,) = free_ports(1)
    with (
        # Not below pytest's own folder, which is root's alone where root runs the tests.
        tempfile.TemporaryDirectory(prefix="nightshelf-postgres-") as folder,
        running_postgres(Path(folder), port, "a password") as url,
        running_airflow.started(
            small_books,
            quick_settings,
            days[:1],
            tmp_path,
            settings={"NIGHTSHELF_AIRFLOW_DATABASE": url},
        ) as running,
    ):
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
