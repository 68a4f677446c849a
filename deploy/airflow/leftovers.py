"""Starts Airflow's scheduler, having ended what a killed one left: `python leftovers.py COMMAND...`.

In: the scheduler's command. Out: the scheduler in place of this process. Guarantees that workers of this session that
wait for a scheduler which is gone are ended, and that those which carry out a task go on.

A worker of the LocalExecutor waits for ever for its scheduler when that is killed, and holds the connection to the
database that it inherited: a transaction that was open keeps its locks, and the next scheduler stood still for 8
minutes.
"""

import os
import signal
import sys
from pathlib import Path

_WORKER = b"airflow worker -- LocalExecutor"
_IDLE = b"<idle>"


def workers(session: int, *, idle: bool) -> list[int]:
    """Return the pids of a session's workers; with `idle` of those that carry out nothing."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
            its = os.getsid(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if its == session and title.startswith(_WORKER) and (_IDLE in title or not idle):
            found.append(int(folder.name))
    return found


def end(pids: list[int]) -> None:
    """Kill processes, whether they are there still or not."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it has ended by itself


if __name__ == "__main__":
    end(workers(os.getsid(0), idle=True))
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606  # in place of this process
