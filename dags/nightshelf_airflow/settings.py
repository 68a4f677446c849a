"""What all DAGs share: retries, owner, pool, the asset that train hands to publish, settings from the environment.

In: variables with the prefix `NIGHTSHELF_`. Out: constants. Guarantees that each default is written once; a file of
DAGs reads neither Redis nor the artifacts when Airflow parses it.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset

#: One slot: whatever trains, scores or loads takes the machine alone. `make airflow` creates it.
POOL = "nightshelf"

#: One event per trained partition; its extra holds the release id.
RELEASES = Asset("nightshelf_release", uri="nightshelf://releases", group="nightshelf")

#: The zone whose midnights cut the source's days; the jobs read the same variable.
TIMEZONE = os.environ.get("NIGHTSHELF_TIMEZONE") or "UTC"

#: Midnight in that zone, so that a backfill's bounds are complete days.
SCHEDULE = os.environ.get("NIGHTSHELF_SCHEDULE", "0 0 * * *")

#: How long a release on hold waits; then it is rejected. Below a day, so that the next day finds a decision.
APPROVAL_TIMEOUT = timedelta(seconds=int(os.environ.get("NIGHTSHELF_APPROVAL_TIMEOUT_S", "43200")))

#: After this long in Airflow a day's training, or its publication, counts as late.
TRAIN_DEADLINE = timedelta(seconds=int(os.environ.get("NIGHTSHELF_TRAIN_DEADLINE_S", "14400")))
PUBLISH_DEADLINE = timedelta(seconds=int(os.environ.get("NIGHTSHELF_PUBLISH_DEADLINE_S", "3600")))


def drop_wait() -> timedelta:
    """Return for how long a run waits for its day's drop; nothing: a day without one is skipped."""
    return timedelta(seconds=max(0, int(os.environ.get("NIGHTSHELF_DROP_WAIT_S") or 0)))


#: How often a waiting task looks again. Not below 5: Airflow fails a task that is due again before its last attempt
#: has been cleared away (seen at 2 s on a busy machine); such a false failure costs one of `WAIT_RETRIES`.
POKE_S = float(os.environ.get("NIGHTSHELF_POKE_S", "15"))
WAIT_RETRIES = 20

_RETRY_DELAY = timedelta(seconds=float(os.environ.get("NIGHTSHELF_RETRY_DELAY_S", "60")))

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "nightshelf",
    "retries": 3,
    "retry_delay": _RETRY_DELAY,
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=15),
}


def artifacts() -> Path:
    """Return the folder that the jobs write to."""
    return Path(os.environ.get("NIGHTSHELF_ARTIFACTS", "artifacts"))
