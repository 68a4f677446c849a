"""The journal: every activation, rollback, refusal and quarantine, durably, before Redis is asked.

In: entries. Out: `journal/NNNNNNNNNN.json`, one file an entry. Guarantees a total order without gaps in which no
entry is ever half written, overwritten or silently altered: each carries a digest of itself. What the entries add up
to stands in jobs/release/history.py, whose journal it is in jobs/release/journal_identity.py.

A change of the pointer takes two entries: the intent, written before Redis is asked, and the outcome (`of` names the
intent, `result` is "ok" or why not), written after. A crash in between leaves an open intent, which the next command
settles (jobs/store/changes.py).
"""

import errno
import json
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.release import checksum
from jobs.runtime.errors import BrokenInput, TryLater

ACTIVATE, ROLLBACK, RESTORE = "activate", "rollback", "restore"
CANARY_START, CANARY_STOP, CANARY_PROMOTE = "canary_start", "canary_stop", "canary_promote"
REFUSAL, QUARANTINE, OUTCOME, ADOPT = "refusal", "quarantine", "outcome", "adopt"

#: Entries that announce a change in Redis and are followed by an outcome.
INTENTS = frozenset(
    {ACTIVATE, ROLLBACK, RESTORE, CANARY_START, CANARY_STOP, CANARY_PROMOTE, QUARANTINE, ADOPT}
)

OK = "ok"

_BRING_BACK = (
    "bring it back from a backup, or with `nightshelf reconcile`, which takes it from Redis's copy"
)
_DIGITS = 10
_NAME = re.compile(rf"\d{{{_DIGITS}}}\.json")
_LISTINGS = 3


def append(folder: Path, action: str, **content: Any) -> dict[str, Any]:
    """Write one entry and return it, with its `seq` and `at` (UTC). It is on disk when this returns.

    Raises TryLater when the disk is full.
    """
    while True:
        seq = max(numbers(folder), default=0) + 1
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"seq": seq, "at": at, "action": action, **content}
        if put(folder, entry):
            return entry


def put(folder: Path, entry: dict[str, Any]) -> bool:
    """Write one entry under its number, durably, unless it is taken; say whether it was free. Raises as `append`."""
    return write_once(path(folder, entry["seq"]), entry)


def write_once(target: Path, content: dict[str, Any]) -> bool:
    """Write JSON with its checksum, durably, unless `target` exists; say whether it was written.

    Raises TryLater when the disk is full.
    """
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(checksum.with_checksum(content), file, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            # A link fails where the name is taken: two writers never share a number.
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        sync(target.parent)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise TryLater(
            "the disk is full, so the journal cannot be written",
            str(target.parent),
            "free space on this file system and run the step again",
        ) from error
    return True


def read(folder: Path) -> list[dict[str, Any]]:
    """Return all entries in order. Raises BrokenInput when one is missing or was altered, or cannot be read."""
    return [_entry(path(folder, seq)) for seq in range(1, _count(folder) + 1)]


def intact(folder: Path) -> dict[int, dict[str, Any]]:
    """Return the entries that are as they were written, by number. Raises BrokenInput when they cannot be read."""
    found = {seq: _opened(path(folder, seq)) for seq in sorted(numbers(folder))}
    return {seq: entry for seq, entry in found.items() if entry is not None}


def digest(entry: dict[str, Any]) -> str:
    """Return what the release registry knows an entry by: the first 16 characters of its checksum."""
    return checksum.digest(entry)[:16]


def name(entry: dict[str, Any]) -> str:
    """Return how the release registry knows an intent: its number and its digest."""
    return f"{entry['seq']}:{digest(entry)}"


def path(folder: Path, seq: int) -> Path:
    """Return the file of an entry."""
    return folder / f"{seq:0{_DIGITS}}.json"


def numbers(folder: Path) -> list[int]:
    """Return the numbers of all entries, in no order; none where there is no folder.

    Raises BrokenInput when the folder cannot be listed: an unreadable journal is not an empty one.
    """
    try:
        with os.scandir(folder) as found:
            return [int(one.name.split(".")[0]) for one in found if _NAME.fullmatch(one.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _count(folder: Path) -> int:
    for _ in range(_LISTINGS):
        found = numbers(folder)
        missing = set(range(1, max(found, default=0) + 1)).difference(found)
        if not missing:
            return len(found)
        # A listing made while entries are written may show a later one without an earlier one.
    listed = ", ".join(map(str, sorted(missing)))
    raise BrokenInput(f"journal entries are missing: {listed}", str(folder), _BRING_BACK)


def _entry(file: Path) -> dict[str, Any]:
    entry = _opened(file)
    if entry is None:
        raise BrokenInput("a journal entry was altered", str(file), _BRING_BACK)
    return entry


def _opened(file: Path) -> dict[str, Any] | None:
    try:
        entry = checksum.opened(file.read_bytes())
    except OSError as error:
        raise _unreadable(file, error) from error
    return entry if entry is not None and file == path(file.parent, entry["seq"]) else None


def _unreadable(place: Path, error: OSError) -> BrokenInput:
    return BrokenInput(
        f"the journal cannot be read: {error.strerror}",
        str(place),
        "make it readable for the user that runs this command, then run the step again",
    )
