"""A step's record: how long it took, how much memory, what it counted.

In: a step's name and the folder of its release. Out: `records/<step>.json`. Guarantees that a record is
written when the step ended well and only then, so a record's presence means that its outputs are whole.
"""

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.runtime import spans
from jobs.runtime.files import write_json

_BYTES_PER_KIB = 1024


@contextmanager
def recorded(step: str, records: Path, run_by: str) -> Iterator[dict[str, Any]]:
    """Give a dict to put counts into; write it with times and peak memory when the block ends well.

    `peak_memory_bytes` is the greatest resident size of this process so far, other steps included.
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
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            * _BYTES_PER_KIB,
            "counts": counts,
        },
    )


def read_record(records: Path, step: str) -> dict[str, Any] | None:
    """Return the counts of a finished step, or None when it has not finished."""
    path = records / f"{step}.json"
    if not path.is_file():
        return None
    counts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["counts"]
    return counts
