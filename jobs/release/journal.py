"""The journal: every activation, rollback, refusal and quarantine, durably, before Redis is told.

In: entries. Out: `journal/NNNNNNNNNN.json`, one file an entry. Guarantees a total order without gaps in which no
entry is ever half written, overwritten or silently altered: each carries a digest of itself. What the entries add up
to stands in jobs/release/history.py.

A change of the pointer takes two entries: the intent, written before Redis is told, and the outcome (`of` names the
intent, `result` is "ok" or why not), written after. A crash in between leaves an open intent, which the next command
settles (jobs/store/changes.py).
"""

import errno
import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.release import seal
from jobs.runtime.errors import BrokenInput, TryLater

ACTIVATE, ROLLBACK, RESTORE = "activate", "rollback", "restore"
CANARY_START, CANARY_STOP, CANARY_PROMOTE = "canary_start", "canary_stop", "canary_promote"
REFUSAL, QUARANTINE, OUTCOME = "refusal", "quarantine", "outcome"

#: Entries that announce a change in Redis and are followed by an outcome.
INTENTS = frozenset(
    {ACTIVATE, ROLLBACK, RESTORE, CANARY_START, CANARY_STOP, CANARY_PROMOTE, QUARANTINE}
)

OK = "ok"

_DIGITS = 10
_LISTINGS = 3


def append(folder: Path, action: str, **content: Any) -> dict[str, Any]:
    """Write one entry and return it, with its `seq` and `at` (UTC). It is on disk when this returns.

    Raises TryLater when the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _append(folder, action, content)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise TryLater(
            "the disk is full, so the journal cannot be written",
            str(folder),
            "free space on this file system and run the step again",
        ) from error


def _append(folder: Path, action: str, content: dict[str, Any]) -> dict[str, Any]:
    temporary = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        while True:
            seq = max(_numbers(folder), default=0) + 1
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            entry = {"seq": seq, "at": at, "action": action, **content}
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(seal.sealed(entry), file, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            try:
                # A link fails where the name is taken: two writers never share a number.
                os.link(temporary, _path(folder, seq))
            except FileExistsError:
                continue
            _sync(folder)
            return entry
    finally:
        temporary.unlink(missing_ok=True)


def read(folder: Path) -> list[dict[str, Any]]:
    """Return all entries in order. Raises BrokenInput when one is missing or was altered."""
    return [_entry(_path(folder, seq)) for seq in range(1, _count(folder) + 1)]


def _count(folder: Path) -> int:
    for _ in range(_LISTINGS):
        numbers = _numbers(folder)
        missing = set(range(1, max(numbers, default=0) + 1)).difference(numbers)
        if not missing:
            return len(numbers)
        # A listing made while entries are written may show a later one without an earlier one.
    raise BrokenInput(
        f"journal entries are missing: {', '.join(map(str, sorted(missing)))}",
        str(folder),
        "bring them back from a backup, or from the hash `<namespace>:journal` in Redis",
    )


def _entry(path: Path) -> dict[str, Any]:
    entry = seal.opened(path.read_bytes())
    if entry is None or path != _path(path.parent, entry["seq"]):
        raise BrokenInput(
            "a journal entry was altered",
            str(path),
            "bring it back from a backup, or from the hash `<namespace>:journal` in Redis",
        )
    return entry


def _path(folder: Path, seq: int) -> Path:
    return folder / f"{seq:0{_DIGITS}}.json"


def _numbers(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("[0-9]*.json")]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
