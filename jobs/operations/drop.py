"""Drop: whether a day's drop is there, and complete.

In: the drops folder, a day, the name of the marker by which the source says that a day is complete. Out: since when the
drop is complete. Guarantees that nothing is read but names and times, so that it can be asked every minute.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.ingest import days
from jobs.runtime.artifacts import DropsFolder
from jobs.runtime.errors import NothingToDo


@dataclass(frozen=True)
class DropResult:
    """A complete drop; `landed_at` (UTC) is when the last of its files came to where it lies."""

    partition: str
    landed_at: str


def run(source: DropsFolder, partition: str, marker: str = "") -> DropResult:
    """Return since when the drop of `partition` is complete.

    Raises NothingToDo when it is absent or not complete yet, BrokenInput when a folder cannot be listed.
    """
    folder = source.ratings / f"{days.PREFIX}{partition}"
    standing = days.standing(source, partition, marker)
    if standing == "absent":
        raise NothingToDo(
            f"no drop has arrived for {partition}", str(folder), "wait for it, or land it"
        )
    if standing == "in_progress":
        raise NothingToDo(
            f"the drop of {partition} is not complete yet",
            str(folder),
            f"wait until the source has finished{f' and written {marker}' if marker else ''}",
        )
    # Not the time of change: a copy keeps that of where it comes from.
    landed = max(path.stat().st_ctime for path in (folder, *folder.iterdir()))
    return DropResult(partition, datetime.fromtimestamp(landed, UTC).isoformat(timespec="seconds"))
