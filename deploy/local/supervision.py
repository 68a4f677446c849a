"""The process manager of the local stack: supervisord, told over its socket what to run.

In: named command lines. Out: running processes that are restarted when they die. Guarantees that stopping
stops exactly what was started here, by the pids that the supervisor holds, and that nothing listens on a
network address: the supervisor is reached through a socket in a folder of mode 700.
"""

import configparser
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 30.0


class SupervisionProblem(RuntimeError):
    """The process manager or one of its processes did not start or stop; the message says which and why."""


@dataclass(frozen=True)
class Program:
    """A process to keep running; `environment` is added to the supervisor's own."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    priority: int = 100
    stop_wait_s: int = 10


def start(programs: Sequence[Program], folder: Path, socket: Path) -> None:
    """Start the supervisor, which starts none of `programs` until `run` names them.

    Raises SupervisionProblem when it does not answer within a minute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration = folder / "supervisord.conf"
    with configuration.open("w", encoding="utf-8") as file:
        _configuration(programs, folder, socket).write(file)
    subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)], check=True
    )
    deadline = time.monotonic() + _START_DEADLINE_S
    while not answers(socket):
        if time.monotonic() > deadline:
            log = folder / "supervisord.log"
            raise SupervisionProblem(f"the process manager does not answer; see {log}")
        time.sleep(0.05)


def run(names: Sequence[str], folder: Path, socket: Path) -> None:
    """Start the named programs and wait until each has run for a second.

    Raises SupervisionProblem with the end of its log for one that exited.
    """
    supervisor = _connection(socket).supervisor
    running = {name for name, state in states(socket).items() if state == "RUNNING"}
    for name in names:
        if name not in running:
            supervisor.startProcess(name, False)  # noqa: FBT003  # XML-RPC takes positions only
    deadline = time.monotonic() + _START_DEADLINE_S
    while True:
        now = states(socket)
        failed = [name for name in names if now[name] in {"FATAL", "EXITED", "BACKOFF"}]
        if failed or time.monotonic() > deadline:
            name = failed[0] if failed else next(n for n in names if now[n] != "RUNNING")
            log = folder / "logs" / f"{name}.log"
            last = log.read_text(errors="replace")[-500:] if log.exists() else ""
            raise SupervisionProblem(f"{name} is {now[name]}; the end of {log}:\n{last}")
        if all(now[name] == "RUNNING" for name in names):
            return
        time.sleep(0.1)


def restart(name: str, socket: Path) -> None:
    """Stop a program by SIGTERM, wait until it has ended, start it again."""
    supervisor = _connection(socket).supervisor
    supervisor.stopProcess(name)
    supervisor.startProcess(name)


def stop(socket: Path, deadline_s: float = _STOP_DEADLINE_S) -> None:
    """Stop the supervisor and everything it runs; nothing happens where it does not run.

    It stops programs of different priorities one after another, each within its own `stop_wait_s`: `deadline_s` has to
    be longer than these together. Raises SupervisionProblem when it is still there after that.
    """
    if not answers(socket):
        return
    running = pid(socket)
    _connection(socket).supervisor.shutdown()
    deadline = time.monotonic() + deadline_s
    while Path(f"/proc/{running}").exists():
        if time.monotonic() > deadline:
            raise SupervisionProblem(f"the process manager (pid {running}) does not stop")
        time.sleep(0.05)


def answers(socket: Path) -> bool:
    """Say whether a supervisor answers at this socket."""
    try:
        _connection(socket).supervisor.getState()
    except (OSError, xmlrpc.client.Error):
        return False
    return True


def pid(socket: Path) -> int:
    """Return the process id of the supervisor that answers at this socket."""
    return int(_connection(socket).supervisor.getPID())


def states(socket: Path) -> dict[str, str]:
    """Return the state of every program by name: RUNNING, STOPPED, STARTING, BACKOFF, EXITED or FATAL."""
    found: Any = _connection(socket).supervisor.getAllProcessInfo()
    return {str(process["name"]): str(process["statename"]) for process in found}


def _connection(socket: Path) -> Any:
    transport = SupervisorTransport(None, None, serverurl=f"unix://{socket}")
    return xmlrpc.client.ServerProxy("http://supervisor", transport=transport)


def _configuration(
    programs: Sequence[Program], folder: Path, socket: Path
) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser["supervisord"] = {
        "logfile": str(folder / "supervisord.log"),
        "pidfile": str(folder / "supervisord.pid"),
        "directory": str(folder),
        "minfds": "1024",
    }
    parser["unix_http_server"] = {"file": str(socket), "chmod": "0600"}
    parser["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for program in programs:
        parser[f"program:{program.name}"] = {
            "command": " ".join(_quoted(part) for part in program.command),
            "environment": ",".join(
                f"{name}={_quoted(value)}" for name, value in program.environment.items()
            ),
            "directory": str(folder),
            "priority": str(program.priority),
            "autostart": "false",
            "autorestart": "true",
            "startsecs": "1",
            "stopwaitsecs": str(program.stop_wait_s),
            "redirect_stderr": "true",
            "stdout_logfile": str(folder / "logs" / f"{program.name}.log"),
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": "1",
        }
    return parser


def _quoted(text: str) -> str:
    # supervisord splits as a shell does and expands %(name)s.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'
