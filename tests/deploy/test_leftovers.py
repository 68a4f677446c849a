"""Workers that a killed scheduler of Airflow left."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.airflow import leftovers
from tests.harness.waiting import until

#: Titles as Airflow's LocalExecutor gives them (airflow/executors/local_executor.py), and another process's.
_IDLE = "airflow worker -- LocalExecutor: <idle>"
_BUSY = "airflow worker -- LocalExecutor: recommender_train.train"
_OTHER = "airflow api_server"


@contextmanager
def _session(*commands: str) -> Iterator[subprocess.Popen[bytes]]:
    """A session of processes that wait, started by a shell; ends with the block."""
    program = ["bash", "-c", "\n".join([*commands, "wait"])]
    with subprocess.Popen(program, start_new_session=True) as shell:
        try:
            yield shell
        finally:
            subprocess.run(["kill", "-KILL", "--", f"-{shell.pid}"], check=True)


def _titled(title: str) -> str:
    return f"bash -c 'exec -a \"{title}\" sleep 600' &"


def _titles(session: int) -> set[str]:
    """Return the titles of the living processes of a session, as `ps` sees them."""
    shown = subprocess.run(
        ["ps", "-s", str(session), "-o", "stat=,args="], check=False, capture_output=True, text=True
    ).stdout.splitlines()
    lines = [line.split(maxsplit=1) for line in shown]
    return {line[1].removesuffix(" 600") for line in lines if not line[0].startswith("Z")}


def test_idle_workers_of_the_session_end_and_nothing_else() -> None:
    """Before a scheduler starts again: idle ones are gone, a busy one and another session's go on."""
    with (
        _session(_titled(_IDLE), _titled(_BUSY), _titled(_OTHER)) as own,
        _session(_titled(_IDLE)) as other,
    ):
        until(lambda: {_IDLE, _BUSY, _OTHER} <= _titles(own.pid), "three processes", 30)
        until(lambda: _IDLE in _titles(other.pid), "a process", 30)
        leftovers.end(leftovers.workers(own.pid, idle=True))
        until(lambda: _IDLE not in _titles(own.pid), "the idle one is gone", 30)
        assert {_BUSY, _OTHER} <= _titles(own.pid)
        assert _IDLE in _titles(other.pid)
        leftovers.end(leftovers.workers(own.pid, idle=False))
        until(lambda: _BUSY not in _titles(own.pid), "the busy one is gone", 30)
        assert _OTHER in _titles(own.pid)


def test_the_scheduler_takes_the_place_of_what_cleared_up() -> None:
    """The command gets its arguments as they are, and the pid that a process manager knows."""
    program = [sys.executable, str(Path(leftovers.__file__)), "/bin/echo", "a b", "c"]
    with subprocess.Popen(
        program, start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "a b c\n"
    assert process.returncode == 0
