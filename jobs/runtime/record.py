"""A step's record: how long it took, how much memory, what it counted.

In: a step's name and the folder of its release. Out: `records/<step>.json`. Guarantees that a record is
written when the step ended well and only then, so a record's presence means that its outputs are complete.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from jobs.runtime import spans
from jobs.runtime.documents import broken, read_document
from jobs.runtime.files import write_json

T = TypeVar("T")

_BYTES_PER_KIB = 1024
#: The commands of steps that are not named like them.
_COMMANDS = {
    f"validate_{table}": f"validate --table {table}" for table in ("interactions", "books", "lists")
}


@contextmanager
def recorded(step: str, records: Path, run_by: str) -> Iterator[dict[str, Any]]:
    """Give a dict to put counts into; write it with times and peak memory when the block ends well.

    `peak_memory_bytes` is that of this process so far, other steps included.
    """
    counts: dict[str, Any] = {}
    started_at = datetime.now(UTC)
    clock = time.monotonic()
    with spans.span(step, step=step, run_by=run_by):
        yield counts
    write_json(
        records / f"{step}.json",
        {
            "step": step,
            "run_by": run_by,
            "started_at": started_at.isoformat(),
            "duration_s": round(time.monotonic() - clock, 3),
            "peak_memory_bytes": peak_memory_bytes(),
            "counts": counts,
        },
    )


def peak_memory_bytes() -> int:
    """Return the greatest resident size of this process so far.

    Not `ru_maxrss`: that of a child begins with the memory of the process that started it (getrusage(2)).
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * _BYTES_PER_KIB


def read_record(records: Path, step: str) -> dict[str, Any] | None:
    """Return the counts of a finished step, or None when it has not finished. Raises BrokenInput."""
    path = records / f"{step}.json"
    if not path.exists():
        return None
    counts: dict[str, Any] = read_document(path, _COMMANDS.get(step, step), counts=dict)["counts"]
    return counts


def finished(records: Path, step: str, outcome: type[T]) -> T | None:
    """Return the outcome of a step that has finished before, None when it has not; it says `reused`.

    Raises BrokenInput when the record is none of this step.
    """
    counts = read_record(records, step)
    return (
        outcome_of(records, step, outcome, {**counts, "reused": True})
        if counts is not None
        else None
    )


def outcome_of(records: Path, step: str, outcome: type[T], counts: dict[str, Any]) -> T:
    """Return the outcome with these counts of a record. Raises BrokenInput when they are none of this step."""
    try:
        return outcome(**counts)
    except TypeError as error:
        why = f"its counts are not those of {step}: {error}"
        raise broken(records / f"{step}.json", _COMMANDS.get(step, step), why) from error
