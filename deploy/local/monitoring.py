"""Prometheus, Alertmanager and their exporters beside the local stack, on loopback.

In: `python -m deploy.local.monitoring up|down|status` and variables with the prefix `NIGHTSHELF_LOCAL_`. Out: running
processes under a process manager of their own, with the configuration of `monitoring/` and this machine's addresses.
Guarantees that a second `up` changes nothing, that `down` stops what `up` started and nothing else, and that nobody is
sent a message: the local Alertmanager groups, silences and inhibits, and its receivers are empty.
"""

import os
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import fields, replace

from deploy.airflow import settings as airflow_settings
from deploy.local import monitors, ports, supervision
from deploy.local import settings as local
from deploy.local.monitors import MonitoringSettings, ProgramMissing
from deploy.local.ports import PortTaken
from deploy.local.settings import HOST, LocalSettings
from deploy.local.supervision import Program, SupervisionProblem
from schemas.environment import EnvironmentProblem, read

_READY_DEADLINE_S = 120.0


def up() -> None:
    """Start everything and wait until both servers are ready.

    Raises PortTaken, ProgramMissing or SupervisionProblem.
    """
    settings = read(MonitoringSettings, os.environ)
    stack, airflow = local.from_environment(), airflow_settings.from_environment()
    own = _own(stack)
    folder = own.local_folder
    if not supervision.answers(own.socket):
        ports.require_free(
            {
                f"NIGHTSHELF_{field.name.upper()}": [getattr(settings, field.name)]
                for field in fields(settings)
            }
        )
        monitors.configure(folder, monitors.targets(settings, stack, airflow.url))
        status = f"http://{HOST}:{stack.local_port}/nginx-status"
        commands = {
            **monitors.exporters(settings, folder, status, airflow.airflow_statsd_port),
            **monitors.servers(settings, folder),
        }
        programs = [Program(name, command) for name, command in commands.items()]
        supervision.start(programs, folder, own.socket)
    supervision.run(list(supervision.states(own.socket)), folder, own.socket)
    for part in ("prometheus", "alertmanager"):
        _wait_until_ready(f"http://{settings.address(part)}/-/ready")
        print(f"{part:13} http://{settings.address(part)}")


def down() -> None:
    """Stop everything that `up` started; nothing happens where it does not run."""
    supervision.stop(_own(local.from_environment()).socket)


def _own(stack: LocalSettings) -> LocalSettings:
    """Return settings whose folder and process manager are the monitoring's."""
    return replace(stack, local_folder=stack.local_folder.resolve() / "monitoring")


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + _READY_DEADLINE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310  # our own loopback URL
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise SupervisionProblem(f"{url} does not answer: {error}") from error
        time.sleep(0.1)


def _print_status() -> None:
    socket = _own(local.from_environment()).socket
    if not supervision.answers(socket):
        sys.exit("the local monitoring does not run; `make monitoring` starts it")
    for name, state in supervision.states(socket).items():
        print(f"{name:18} {state}")


def main() -> None:
    """Carry out one command; a problem is printed without a traceback and exits with 1."""
    commands: dict[str, Callable[[], None]] = {"up": up, "down": down, "status": _print_status}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:  # noqa: PLR2004  # program and command
        sys.exit(f"usage: python -m deploy.local.monitoring {'|'.join(commands)}")
    try:
        commands[sys.argv[1]]()
    except (PortTaken, ProgramMissing, SupervisionProblem, EnvironmentProblem) as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
