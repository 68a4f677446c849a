"""Starts and stops Airflow on this machine: api-server, scheduler and dag-processor under the process manager.

In: `python -m deploy.airflow.control up|down|status|environment` and the variables of `deploy.airflow.settings`.
Out: running processes on loopback. Guarantees that `up` returns when the UI answers and all DAGs are visible, that
a second `up` changes nothing, and that `down` ends exactly what `up` started, each process by SIGTERM to its own pid,
and what a killed scheduler left.
No triggerer runs: an approval waits in the database and a late release is reported by the executor.
"""

import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from deploy.airflow import leftovers
from deploy.airflow.settings import (
    HOST,
    ROOT,
    AirflowSettings,
    from_environment,
    process_environment,
)
from deploy.local import settings as local
from deploy.local import stack, supervision
from deploy.local.supervision import Program, SupervisionProblem
from schemas.environment import EnvironmentProblem

_READY_DEADLINE_S = 240.0
_STOP_WAIT_S = 30
#: Its three processes end one after another; on a busy machine each takes its time.
_STOP_DEADLINE_S = 4.0 * _STOP_WAIT_S


def programs(settings: AirflowSettings) -> list[Program]:
    """Return Airflow's processes, the api-server first: the others' tasks report to it."""
    airflow = str(settings.airflow_environment / "bin" / "airflow")
    commands = {
        "api-server": [airflow, "api-server", "--host", HOST, "--port", str(settings.airflow_port)],
        # Without the flag it serves logs on 0.0.0.0; the api-server reads them from disk here.
        "scheduler": [
            *(sys.executable, leftovers.__file__),
            *(airflow, "scheduler", "--skip-serve-logs"),
        ],
        "dag-processor": [airflow, "dag-processor"],
    }
    # `up` brings the database up to date; the api-server is started beside that.
    unchecked = {"AIRFLOW__DATABASE__CHECK_MIGRATIONS": "False"}
    return [
        Program(name, command, unchecked, priority=10 * order, stop_wait_s=_STOP_WAIT_S)
        for order, (name, command) in enumerate(commands.items(), start=1)
    ]


def up(settings: AirflowSettings) -> None:
    """Start everything and wait until it answers and shows every DAG.

    Raises SupervisionProblem when a process does not start or the port is taken.
    """
    names = [program.name for program in programs(settings)]
    if not supervision.answers(settings.socket):
        _require_free_port(settings)
        # Airflow's settings are this project's: none is taken from the shell that starts it.
        environment = process_environment(settings, os.environ, _jobs())
        os.environ.clear()
        os.environ.update(environment)
        # The supervisor hands its own environment down: no secret stands in its configuration.
        supervision.start(programs(settings), settings.airflow_folder, settings.socket)
        try:
            with _preparing(settings):
                # It imports for 6 s before it asks the database for anything: 3 s saved at the first start.
                supervision.run(names[:1], settings.airflow_folder, settings.socket)
        except BaseException:
            supervision.stop(settings.socket, _STOP_DEADLINE_S)
            raise
    supervision.run(names, settings.airflow_folder, settings.socket)
    wanted = {path.stem for path in (ROOT / "dags").glob("recommender_*.py")}
    _until(lambda: wanted <= visible_dags(settings), "does not show all DAGs")
    print(f"Airflow  {settings.url}  user admin, password in {settings.passwords}")


def down(settings: AirflowSettings) -> None:
    """Stop everything, workers of a killed scheduler included; nothing happens where it does not run."""
    if supervision.answers(settings.socket):
        session = os.getsid(supervision.pid(settings.socket))
        supervision.stop(settings.socket, _STOP_DEADLINE_S)
        leftovers.end(leftovers.workers(session, idle=False))


def token(settings: AirflowSettings) -> str:
    """Return a token for the REST API; while Airflow starts it raises what `visible_dags` catches."""
    password = json.loads(settings.passwords.read_text(encoding="utf-8"))["admin"]
    request = urllib.request.Request(  # noqa: S310  # our own loopback URL
        f"{settings.url}/auth/token",
        data=json.dumps({"username": "admin", "password": password}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # the same
        return str(json.load(answer)["access_token"])


def visible_dags(settings: AirflowSettings) -> set[str]:
    """Return the ids of the DAGs that the REST API lists; none while it does not answer."""
    try:
        request = urllib.request.Request(  # noqa: S310  # our own loopback URL
            f"{settings.url}/api/v2/dags?limit=100",
            headers={"Authorization": f"Bearer {token(settings)}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # the same
            return {str(dag["dag_id"]) for dag in json.load(answer)["dags"]}
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        # While it starts: no connection, a refusal, or an answer that breaks off or is not yet the API's.
        return set()


def _jobs() -> dict[str, str]:
    return {
        "NIGHTSHELF_ARTIFACTS": str(ROOT / "artifacts"),
        "NIGHTSHELF_REDIS": stack.redis_addresses(local.from_environment()),
        "NIGHTSHELF_COMMAND": str(ROOT / ".venvs" / "local" / "bin" / "nightshelf"),
    }


@contextmanager
def _preparing(settings: AirflowSettings) -> Iterator[None]:
    """Bring the database up to date beside what the block does; it is ready when the block has ended."""
    stamp = settings.airflow_folder / "prepared"
    lock = sha256((ROOT / "deploy" / "requirements" / "dags.txt").read_bytes()).hexdigest()
    own = settings.airflow_database is None and (settings.airflow_folder / "airflow.db").exists()
    if own and stamp.exists() and stamp.read_text(encoding="utf-8") == lock:
        yield  # 3 s saved at every start but the first
        return
    python = settings.airflow_environment / "bin" / "python"
    log = settings.airflow_folder / "prepare.log"
    program = [str(python), str(Path(__file__).with_name("prepare.py"))]
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(program, stdout=file, stderr=subprocess.STDOUT) as process,
    ):
        yield
        process.wait()
    if process.returncode != 0:
        raise SupervisionProblem(
            f"Airflow's database cannot be prepared; the end of {log}:\n{log.read_text()[-1000:]}"
        )
    stamp.write_text(lock, encoding="utf-8")


def _require_free_port(settings: AirflowSettings) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, settings.airflow_port))
        except OSError as error:
            raise SupervisionProblem(
                f"port {settings.airflow_port} is in use by another program\n"
                f"  where: {HOST}:{settings.airflow_port}\n"
                "  do: stop that program, or set NIGHTSHELF_AIRFLOW_PORT to a free port"
            ) from error


def _until(condition: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + _READY_DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise SupervisionProblem(f"Airflow {problem} after {_READY_DEADLINE_S:.0f} s")
        time.sleep(0.2)


def _print_status(settings: AirflowSettings) -> None:
    if not supervision.answers(settings.socket):
        sys.exit("Airflow does not run; `make airflow` starts it")
    for name, state in supervision.states(settings.socket).items():
        print(f"{name:16} {state}")


def _print_environment(settings: AirflowSettings) -> None:
    # For `eval`: the `airflow` command then means this Airflow.
    for name, value in process_environment(settings, os.environ, _jobs()).items():
        if os.environ.get(name) != value:
            print(f"export {name}={shlex.quote(value)}")


def main() -> None:
    """Carry out one command; a problem is printed without a traceback and exits with 1."""
    commands: dict[str, Callable[[AirflowSettings], None]] = {
        "up": up,
        "down": down,
        "status": _print_status,
        "environment": _print_environment,
    }
    if len(sys.argv) != 2 or sys.argv[1] not in commands:  # noqa: PLR2004  # program and command
        sys.exit(f"usage: python -m deploy.airflow.control {'|'.join(commands)}")
    try:
        commands[sys.argv[1]](from_environment())
    except (SupervisionProblem, EnvironmentProblem) as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
