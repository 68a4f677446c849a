"""An attempt: that a command was begun, how it ended, and when it last ended well.

In: a command's name, its end. Out: `attempts/<command>[@<dag>].json` under the artifacts, one file a command and DAG.
Guarantees that a beginning is on disk before the work, so that a run which was killed shows as begun and never ended,
and that the file never grows: it holds counts by exit code and the last times, not a history.
"""

import fcntl
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jobs.runtime import settings as runtime_settings
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import NightshelfError, NothingToDo
from jobs.runtime.files import read_json, write_json

#: Commands that change something; those that only look are not attempts.
KEPT = frozenset(
    {
        *("replay", "extract", "validate", "train", "evaluate", "recommend", "publish"),
        *("activate", "rollback", "retire", "restore", "canary", "audit", "run"),
    }
)

#: How the attempt of a command that was broken off by an exception counts: as Python itself exits.
_CRASHED = 1
_DAG = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_WELL = (0, NothingToDo.exit_code)


@contextmanager
def kept(arguments: Sequence[str]) -> Iterator[None]:
    """Keep the attempt of a command line while the block runs; the block's end is passed on as it is.

    Nothing is kept where there is no artifacts folder, and an attempt that cannot be written is reported on standard
    error: what was done stands, whether or not it could be counted.
    """
    path = _path(arguments)
    begun = time.time()
    if path is not None:
        _written(path, {"begun_at": begun})
    code = _CRASHED
    try:
        yield
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else _CRASHED
        raise
    finally:
        path = path or _path(arguments)
        if path is not None:
            _written(path, _ended(begun, code))


def command_of(arguments: Sequence[str]) -> str:
    """Return the command in a command line, "" where there is none."""
    return next((part for part in arguments if not part.startswith("-")), "")


def dag_of(run_by: str) -> str:
    """Return the DAG in "dag/run id", "" where a person or a script ran the command."""
    dag, slash, _ = run_by.partition("/")
    return dag if slash and _DAG.fullmatch(dag) else ""


def _path(arguments: Sequence[str]) -> Path | None:
    command = command_of(arguments)
    if command not in KEPT or "--help" in arguments or "-h" in arguments:
        return None
    try:
        settings = runtime_settings.from_environment()
    except NightshelfError:
        # The command itself tells which variable cannot be used.
        return None
    try:
        there = settings.artifacts.is_dir()
    except OSError:
        # The command itself tells why the folder cannot be used.
        return None
    if not there:
        return None
    dag = dag_of(settings.run_by)
    name = f"{command}@{dag}.json" if dag else f"{command}.json"
    return Artifacts(settings.artifacts).attempts / name


def _ended(begun: float, code: int) -> dict[str, Any]:
    now = time.time()
    last = "last_success_at" if code in _WELL else "last_failure_at"
    return {"ended_at": now, "duration_s": round(now - begun, 3), "exit_code": code, last: now}


def _written(path: Path, news: dict[str, Any]) -> None:
    """Add `news` to what is kept; two commands at a time wait for each other."""
    try:
        path.parent.mkdir(exist_ok=True)
        with (path.parent / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before: dict[str, Any] = {}
            with suppress(ValueError):
                before = read_json(path)
            kept = before.get("ended")
            # Whatever stands there: a count that cannot be used begins again.
            ended = (
                {c: n for c, n in kept.items() if isinstance(n, int)}
                if isinstance(kept, dict)
                else {}
            )
            if "exit_code" in news:
                code = str(news["exit_code"])
                ended[code] = ended.get(code, 0) + 1
            write_json(path, {**before, **news, "ended": ended})
    except (OSError, NightshelfError) as error:
        print(f"note: this attempt could not be counted in {path}: {error}", file=sys.stderr)
