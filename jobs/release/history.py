"""What the journal adds up to: what was live and before it, what is quarantined, what is still open.

In: the journal's entries. Out: a `History`. Guarantees that it follows from the entries alone, so that it can be
reported even when Redis has lost everything.
"""

from dataclasses import dataclass, field
from typing import Any

from jobs.release import journal
from schemas.manifest import partition_of

#: An outcome that counts as done: Redis had lost what would have told whether it was.
ASSUMED = "assumed"
_DONE = frozenset({journal.OK, ASSUMED})

_ACTIVATIONS = frozenset({journal.ACTIVATE, journal.CANARY_PROMOTE})
_MOVES = _ACTIVATIONS | {journal.ROLLBACK, journal.RESTORE, journal.ADOPT}


@dataclass(frozen=True)
class History:
    """The journal's sum.

    `generation` is the greatest ever used or tried, `settled_generation` the greatest that an outcome calls done.
    `quarantine` maps digests of lists to the entry that quarantined them, `activations` releases that went live to the
    digest of their lists, in the order of their last activation. `opened` are intents without an outcome; they count
    as done for live, previous and quarantine, and not for activations. A move to lists that an earlier entry
    quarantines counts only when it is known to have been made: its publisher died before Redis refused it.
    """

    live: str | None = None
    previous: str | None = None
    generation: int = 0
    settled_generation: int = 0
    quarantine: dict[str, dict[str, Any]] = field(default_factory=dict)
    activations: dict[str, str] = field(default_factory=dict)
    opened: tuple[dict[str, Any], ...] = ()


def fold(entries: list[dict[str, Any]]) -> History:
    """Return what the entries add up to."""
    results = _results(entries)
    intents = [e for e in entries if e["action"] in journal.INTENTS]
    counted = [e for e in intents if results.get(e["seq"], ASSUMED) in _DONE]
    settled = [e for e in counted if e["seq"] in results]
    live = previous = None
    served = ""
    before: set[str] = set()
    for move in counted:
        known = results.get(move["seq"]) == journal.OK
        if _moves(move) and (known or move["digest"] not in before):
            previous = live if move["action"] in _ACTIVATIONS else move.get("previous")
            live, served = move["to"], move["digest"]
        if move.get("quarantined"):
            before.add(move["quarantined"])
    quarantined = {e["quarantined"]: e for e in counted if e.get("quarantined")}
    if served in quarantined and quarantined[served]["seq"] not in results:
        # Redis does not bar what it serves; this intent's publisher died before it was told so.
        del quarantined[served]
    activations: dict[str, str] = {}
    for move in settled:
        if move["action"] in _ACTIVATIONS or (move["action"] == journal.ADOPT and move["to"]):
            activations.pop(move["to"], None)
            activations[move["to"]] = move["digest"]
    return History(
        live=live,
        previous=previous,
        generation=max((e.get("generation", 0) for e in intents), default=0),
        settled_generation=max((e.get("generation", 0) for e in settled), default=0),
        quarantine=quarantined,
        activations=activations,
        opened=tuple(e for e in intents if e["seq"] not in results),
    )


def quarantined(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the quarantines that these entries, perhaps a part of a journal, call done, by digest of the lists."""
    results = _results(entries)
    return {
        e["quarantined"]: e
        for e in entries
        if e.get("quarantined") and results.get(e["seq"]) in _DONE
    }


def _results(entries: list[dict[str, Any]]) -> dict[int, str]:
    results: dict[int, str] = {}
    for entry in entries:
        if entry["action"] == journal.OUTCOME:
            # The first counts: whoever was given up while it was held up learns so and writes it down once more.
            results.setdefault(entry["of"], entry["result"])
    return results


def _moves(intent: dict[str, Any]) -> bool:
    # A store that was adopted before anything was live in it has no pointer.
    return intent["action"] in _MOVES and intent["to"] is not None


def references_for(history: History, partition: str) -> list[str]:
    """Return the activated releases of partitions strictly before `partition`, the newest first.

    Of several of one partition the one activated last comes first. Releases whose lists were quarantined do not count.
    """
    fit = [
        release
        for release, digest in history.activations.items()
        if partition_of(release) < partition and digest not in history.quarantine
    ]
    # Sorting keeps the order of equals: the last activated has to come first before it.
    fit.reverse()
    return sorted(fit, key=partition_of, reverse=True)
