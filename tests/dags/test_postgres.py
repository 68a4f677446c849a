"""Airflow on Postgres: one setting, and a day goes from its drop to a list over HTTP."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from tests import conftest as whole
from tests.dags import running_airflow
from tests.dags.running_airflow import TRAIN, published, release_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def _programs() -> Path:
    """Return the folder of the newest Postgres that is installed."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name)
    )
    assert found, "Postgres is missing; `make packages-slow` installs it"
    return found[-1]


@contextmanager
def running_postgres(folder: Path, port: int) -> Iterator[str]:
    """Give the SQLAlchemy URL of an empty database of a real server on loopback, which ends with the block."""
    programs, password = _programs(), folder / "password"
    data = folder / "data"
    # Postgres refuses to run as root.
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    password.write_text("a password\n", encoding="utf-8")
    data.mkdir(mode=0o700)
    for path in (password, data, folder):
        os.chown(path, owner.pw_uid, owner.pw_gid)

    def call(*arguments: str) -> None:
        subprocess.run(
            [str(programs / arguments[0]), *arguments[1:]],
            check=True,
            stdout=subprocess.DEVNULL,
            user=owner.pw_uid,
            group=owner.pw_gid,
            cwd=folder,
            env={**os.environ, "PGPASSWORD": "a password"},
        )

    secured = ("--auth", "scram-sha-256", "--pwfile", str(password))
    call("initdb", "--pgdata", str(data), "--username", "airflow", *secured)
    listening = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    )
    call("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", listening, "start")
    try:
        call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "airflow", "airflow")
        yield f"postgresql+psycopg2://airflow:a%20password@127.0.0.1:{port}/airflow"
    finally:
        call("pg_ctl", "-D", str(data), "-w", "-m", "fast", "stop")


def test_a_day_on_postgres(
    small_books: Path, quick_settings: Path, days: list[date], tmp_path: Path
) -> None:
    """With one setting everything is kept in Postgres, nothing in SQLite; a second start finds it again."""
    (port,) = whole.free_ports(1)
    with (
        # Not below pytest's own folder, which is root's alone where root runs the tests.
        tempfile.TemporaryDirectory(prefix="nightshelf-postgres-") as folder,
        running_postgres(Path(folder), port) as url,
        whole.running_cluster(tmp_path / "redis") as nodes,
        running_airflow.started(
            ",".join(f"{node.host}:{node.port}" for node in nodes),
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
