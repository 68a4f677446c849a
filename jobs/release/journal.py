"""The journal: every activation, rollback, refusal and quarantine, durably, before Redis is told.

In: entries. Out: `journal/NNNNNNNNNN.json`, one file an entry. Guarantees a total order without gaps in which no
entry is ever half written or overwritten, and that folding it says what was live, what came before, and
what is barred, even when Redis has lost everything.
"""

import json
import os
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.manifest import partition_of

ACTIVATE, ROLLBACK, RESTORE = "activate", "rollback", "restore"
CANARY_START, CANARY_STOP, CANARY_PROMOTE = "canary_start", "canary_stop", "canary_promote"
REFUSAL, QUARANTINE, OUTCOME = "refusal", "quarantine", "outcome"

_MOVES = {ACTIVATE, ROLLBACK, RESTORE, CANARY_PROMOTE}
_DIGITS = 10


@dataclass(frozen=True)
class History:
    """What the journal adds up to; `activations` are the releases that ever went live, oldest first."""

    live: str | None = None
    previous: str | None = None
    generation: int = 0
    quarantine: dict[str, dict[str, Any]] = field(default_factory=dict)
    activations: tuple[str, ...] = ()


def append(folder: Path, action: str, **content: Any) -> dict[str, Any]:
    """Write one entry and return it, with its `seq` and `at` (UTC). It is on disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        while True:
            seq = _newest(folder) + 1
            entry = {
                "seq": seq,
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "action": action,
                **content,
            }
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(entry, file, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            try:
                # A link fails where the name is taken: two writers never share a number.
                os.link(temporary, folder / f"{seq:0{_DIGITS}}.json")
            except FileExistsError:
                continue
            _sync(folder)
            return entry
    finally:
        temporary.unlink(missing_ok=True)


def read(folder: Path) -> list[dict[str, Any]]:
    """Return all entries in order."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("[0-9]*.json"))]


def fold(entries: list[dict[str, Any]]) -> History:
    """Return what the entries add up to.

    An intent counts unless its outcome says refused, or a later intent aims at the same generation: then Redis
    was never told of the earlier one. The last intent counts even without an outcome.
    """
    refused = {e["of"] for e in entries if e["action"] == OUTCOME and e["result"] != "ok"}
    moves = [e for e in entries if e["action"] in _MOVES and e["seq"] not in refused]
    last_of = {e["generation"]: e["seq"] for e in moves}
    live = previous = None
    activations: list[str] = []
    quarantine = {e["digest"]: e for e in entries if e["action"] == QUARANTINE}
    generation = max((e["generation"] for e in entries if e.get("generation")), default=0)
    for move in moves:
        if last_of[move["generation"]] != move["seq"]:
            continue
        if move["action"] == ROLLBACK:
            quarantine[move["digest"]] = move
            live, previous = move["to"], None
        elif move["action"] == RESTORE:
            live, previous = move["to"], move["previous"]
        else:
            live, previous = move["to"], live
            activations.append(move["to"])
    return History(live, previous, generation, quarantine, tuple(activations))


def reference_for(entries: list[dict[str, Any]], partition: str) -> str | None:
    """Return the newest activated release of a partition strictly before `partition`, or None.

    Releases whose lists were quarantined afterwards do not count.
    """
    history = fold(entries)
    barred = {e.get("from") for e in entries if e["action"] == ROLLBACK}
    barred |= {e.get("release") for e in entries if e["action"] == QUARANTINE}
    fit = [
        release
        for release in history.activations
        if partition_of(release) < partition and release not in barred
    ]
    # The last of the newest partition: max keeps the first of equals, so the order is turned.
    return max(reversed(fit), key=partition_of, default=None)


def _newest(folder: Path) -> int:
    return max((int(path.stem) for path in folder.glob("[0-9]*.json")), default=0)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
