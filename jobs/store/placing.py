"""Placing a release in Redis: the lease, the load, the read-back, the registry's state `verified`; repair.

In: an open store, a release folder and its manifest. Out: a verified release beside the live one. Guarantees that no
other release is touched, that only one publisher loads at a time, and that whatever ends this load leaves
nothing that blocks the next: an error gives the release up at once, a crash when the lease is over.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import BrokenInput, GateRefused, NightshelfError, TryLater
from jobs.store import encoding, loading, removal, soundness
from jobs.store.changes import Store
from jobs.store.cluster import TROUBLES
from jobs.store.encoding import Stored
from jobs.store.lease import Lease, this_process
from jobs.store.read_back import facts, read_back
from jobs.store.registry import LOADING, VERIFIED, Answer
from jobs.store.repair import repair_from

_MS_PER_S = 1000


@dataclass(frozen=True)
class Placed:
    """What stands in Redis now.

    `already` when it stood there before; `rewritten` hashes that had lost values when they were read back first (a
    failover loses what was not yet copied), `repaired_values` what an `already` verified release had lost; `confirmed`
    as in jobs.store.cluster.all_confirmed; `warnings` about this Redis, in words. Times in seconds.
    """

    what: Stored
    already: bool
    rewritten: int = 0
    repaired_values: int = 0
    warnings: tuple[str, ...] = ()
    confirmed: bool | None = None
    load_s: float = 0.0
    read_back_s: float = 0.0


def place(
    store: Store,
    folder: ReleaseFolder,
    manifest: Mapping[str, Any],
    *,
    rate: int = 0,
    protect: bool = True,
    rounds: int = 1,
) -> Placed:
    """Load and verify a release, or repair it where it stands; `rate` values a second at most, 0 for no limit.

    Raises GateRefused when its lists are quarantined; BrokenInput when its files are not those of the manifest, other
    lists stand under its id, or with `protect` when Redis would throw out other lists to make room; TryLater when
    another publisher or Redis is in the way.
    """
    what = encoding.stored(folder, store.namespace, manifest)
    warnings = _warnings(store, what, protect=protect)
    lease = Lease(store.cluster, store.registry, folder.release, store.settings.lease_s)
    lease.begin()
    begun = store.registry.change(
        "begin_load",
        *(folder.release, manifest["digest"], manifest["partition"], lease.token),
        *(this_process(store.settings.run_by), lease.duration_ms, json.dumps(what.shape)),
    )
    if begun.word == "already":
        done = repair_from(store, what, protect=protect, rounds=rounds)
        return Placed(
            what,
            already=True,
            rewritten=done.hashes,
            repaired_values=done.values,
            warnings=warnings,
            confirmed=done.confirmed,
        )
    if not begun.ok:
        raise _problem(folder.release, begun)
    try:
        placed = _place(store, what, lease, begun.details, rate=rate, rounds=rounds)
        return replace(placed, warnings=warnings)
    except Exception:
        _give_up(lease)
        raise


def _warnings(store: Store, what: Stored, *, protect: bool) -> tuple[str, ...]:
    """Return what is wrong with this Redis; with `protect` raise BrokenInput when the load would lose other lists."""
    content = store.registry.read()
    known = content.releases.get(what.meta.release, {}).get("state") == VERIFIED
    found = soundness.findings(
        soundness.nodes(store.cluster),
        # What is loaded already takes no room; what of it is missing is looked at when it is repaired.
        {} if known else soundness.needed(store.cluster, what),
        soundness.last_redis_replicas(content.releases.values()),
    )
    if protect:
        soundness.require_room(found)
    return tuple(f"{finding.what} ({finding.where})" for finding in found)


def _place(
    store: Store, what: Stored, lease: Lease, dead: tuple[str, ...], *, rate: int, rounds: int
) -> Placed:
    for release in dead:
        removal.remove(store, release)
    # What an earlier load of this release left: with other lists it would never pass the read-back.
    lease.unlink(removal.key_names(store.namespace, lease.release, *what.shape))
    started = time.monotonic()
    loading.load(store.cluster, what, rate=rate, keep_going=lease.renew)
    loaded = time.monotonic()
    found = read_back(store, what, lease.renew, rounds=rounds)
    checked = time.monotonic()
    known = facts(store, what)
    if not store.registry.change("verify", lease.release, lease.token, known).ok:
        raise lease.overtaken()
    return Placed(
        what,
        already=False,
        rewritten=found.hashes,
        confirmed=store.registry.confirm() and found.confirmed,
        load_s=round(loaded - started, 3),
        read_back_s=round(checked - loaded, 3),
    )


def _give_up(lease: Lease) -> None:
    """Let the next publisher begin at once instead of when the lease is over."""
    try:
        lease.registry.change("abandon", lease.release, lease.token)
    except TROUBLES:
        # Redis is in the way, as the error that is on its way up says; the lease will run out.
        return


def _problem(release: str, refused: Answer) -> NightshelfError:
    if refused.word == "quarantined":
        why = json.loads(refused.details[0]).get("why")
        return GateRefused(
            f"the lists of this release are quarantined ({why})",
            f"release {release}",
            "train a new release",
        )
    if refused.word == "conflict":
        return BrokenInput(
            "other lists are loaded under this release id",
            f"release {release}, digest {refused.details[0]}",
            "a release never changes: find out who wrote the files of this folder",
        )
    other, state, holder, since_ms, left_ms = refused.details
    since = datetime.fromtimestamp(int(since_ms) / _MS_PER_S, UTC).isoformat(timespec="seconds")
    doing = "loading" if state == LOADING else "removing"
    return TryLater(
        f"{holder} is {doing} release {other} since {since}",
        f"release {release}",
        f"run this step again when it is done; if it died, in {int(left_ms) // _MS_PER_S + 1} s",
    )
