"""Airflow as it is run, for tests: its real processes, Alertmanager and an edge replica beside them.

In: a cluster, a folder of books and model settings. Out: a running Airflow with the drops landed. Guarantees that
everything that was started ends with the block.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from deploy.local import monitors
from deploy.local.monitors import MonitoringSettings
from schemas.environment import Node, node_list
from tests.conftest import free_ports, running_cluster
from tests.dags import edge_replica
from tests.dags.airflow_client import AirflowClient, until
from tests.dags.commands import nightshelf
from tests.dags.edge_replica import EdgeReplica
from tests.dags.places import JOBS, ROOT
from tests.harness.postgres import running_postgres

TRAIN, PUBLISH, ROLLBACK = "recommender_train", "recommender_publish", "recommender_rollback"


@dataclass(frozen=True)
class Alertmanager:
    """A running Alertmanager."""

    url: str

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that it shows as active."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts?active=true", timeout=60) as answer:  # noqa: S310  # loopback
            found: list[dict[str, Any]] = json.load(answer)
        return found


@dataclass(frozen=True)
class Running:
    """A running Airflow and what stands around it."""

    airflow: AirflowClient
    edge: EdgeReplica
    artifacts: Path
    folder: Path
    alertmanager: Alertmanager
    environment: dict[str, str]
    #: Where it tells its metrics by StatsD.
    statsd_port: int
    #: From nothing to visible DAGs.
    start_s: float = 0.0

    def control(self, command: str) -> None:
        """Carry out `make airflow`'s or `make airflow-down`'s command."""
        program = [str(JOBS / "bin" / "python"), "-m", "deploy.airflow.control", command]
        subprocess.run(program, cwd=ROOT, env=self.environment, check=True)

    def airflow_command(self, *arguments: str) -> str:
        """Run Airflow's own command as the README says, and return what it printed."""
        environment = 'eval "$("$0" -m deploy.airflow.control environment)"; exec airflow "$@"'
        process = subprocess.run(
            ["/bin/bash", "-euc", environment, str(JOBS / "bin" / "python"), *arguments],
            cwd=ROOT,
            env=self.environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return process.stdout

    def nightshelf(self, *arguments: str) -> dict[str, Any]:
        """Run a command of the jobs as a person would and return its outcome."""
        return nightshelf(self.environment, *arguments)

    def backfill(self, first: date, last: date, *, at_a_time: int, reprocess: str = "none") -> int:
        """Ask for a backfill of the days from `first` to `last` by REST; return the status of the answer."""
        request = {
            "dag_id": TRAIN,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
            "max_active_runs": at_a_time,
            "reprocess_behavior": reprocess,
            "run_backwards": False,
            "dag_run_conf": {},
        }
        return self.airflow.call("POST", "/api/v2/backfills", request)[0]

    def processes(self) -> list[Any]:
        """Return the process manager and everything below it, as psutil knows processes."""
        import psutil  # noqa: PLC0415  # comes with Airflow: not installed everywhere

        manager = psutil.Process(int((self.folder / "supervisord.pid").read_text()))
        return [manager, *manager.children(recursive=True)]


@contextmanager
def alertmanager(folder: Path, port: int) -> Iterator[Alertmanager]:
    """A real Alertmanager on loopback with the project's routes, and nobody to tell."""
    monitors.configure(folder, {})
    settings = MonitoringSettings(local_alertmanager_port=port)
    command = monitors.servers(settings, folder)["alertmanager"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            yield Alertmanager(f"http://{settings.address('alertmanager')}")
        finally:
            process.terminate()


@contextmanager
def started(
    books: Path,
    model_settings: Path,
    days: list[date],
    scratch: Path,
    *,
    nodes: tuple[Node, ...] = (),
    settings: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Start everything on an empty shelf, and land drops of `days` by the DAG that does this.

    Without `nodes` it is on a cluster of its own, which no other test empties.
    """
    artifacts, folder = scratch / "artifacts", scratch / "airflow"
    artifacts.mkdir()
    program = JOBS / "bin" / "nightshelf-edge"
    with ExitStack() as stack:
        addresses = node_list(nodes or stack.enter_context(running_cluster(scratch / "redis")))
        # Not before the cluster has its own: a port is free until something listens.
        airflow_port, edge_port, statsd_port, alertmanager_port = free_ports(4)
        alerting = stack.enter_context(alertmanager(scratch / "alertmanager", alertmanager_port))
        edge = stack.enter_context(edge_replica.running(program, addresses, edge_port))
        environment = {
            **os.environ,
            "NIGHTSHELF_AIRFLOW_FOLDER": str(folder),
            "NIGHTSHELF_AIRFLOW_PORT": str(airflow_port),
            "NIGHTSHELF_AIRFLOW_STATSD_PORT": str(statsd_port),
            "NIGHTSHELF_AIRFLOW_ENVIRONMENT": sys.prefix,
            "NIGHTSHELF_ARTIFACTS": str(artifacts),
            "NIGHTSHELF_REDIS": addresses,
            "NIGHTSHELF_MODEL_SETTINGS": str(model_settings),
            "NIGHTSHELF_POKE_S": "5",
            "NIGHTSHELF_TRAIN_DEADLINE_S": "1",
            "NIGHTSHELF_ALERTMANAGER": alerting.url,
            **(settings or {}),
        }
        client = AirflowClient(f"http://127.0.0.1:{airflow_port}", "")
        found = Running(client, edge, artifacts, folder, alerting, environment, statsd_port)
        try:
            begun = time.monotonic()
            found.control("up")
            found = replace(found, start_s=time.monotonic() - begun)
            client.password = json.loads((folder / "passwords.json").read_text())["admin"]
            fields = {"source": str(books), "first_day_share": 0.9}
            span = {"first_day": str(days[0]), "last_day": str(days[-1])}
            landed = client.trigger("recommender_replay", {**fields, **span})
            assert client.wait("recommender_replay", landed) == "success"
            yield found
        finally:
            found.control("down")


@contextmanager
def on_postgres(
    books: Path, model_settings: Path, days: list[date], scratch: Path
) -> Iterator[tuple[Running, int]]:
    """The same with a real Postgres of its own instead of SQLite: (Airflow, the pid of Postgres' first process)."""
    (port,) = free_ports(1)
    with (
        # Not below pytest's own folder, which is root's alone where root runs the tests.
        tempfile.TemporaryDirectory(prefix="nightshelf-postgres-") as folder,
        running_postgres(Path(folder), port, "a password") as url,
        started(
            books,
            model_settings,
            days,
            scratch,
            settings={"NIGHTSHELF_AIRFLOW_DATABASE": url},
        ) as running,
    ):
        pid = int((Path(folder) / "data" / "postmaster.pid").read_text().splitlines()[0])
        yield running, pid


def published(running: Running, runs: int) -> None:
    """Wait until `recommender_publish` has ended that many runs."""
    until(lambda: len(running.airflow.runs(PUBLISH)) == runs, lambda: running.airflow.runs(PUBLISH))
    for run in running.airflow.runs(PUBLISH):
        state = running.airflow.wait(PUBLISH, run["dag_run_id"])
        assert state == "success", running.airflow.failures(PUBLISH, run["dag_run_id"])


def release_of(running: Running, run: dict[str, Any]) -> str:
    """Return the release that a run of `recommender_train` made."""
    return str(running.airflow.xcom(TRAIN, run["dag_run_id"], "extract")["release"])
