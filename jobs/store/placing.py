"""Placing a release in Redis: the lease, the load, the read-back, the catalog's word that it is verified.

In: an open store, a release folder and its manifest. Out: a verified release beside the live one. Guarantees that no
other release is touched, that only one publisher loads at a time, and that whatever ends this load leaves
nothing that blocks the next: an error gives the release up at once, a crash when the lease is over.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs.release.folder import ReleaseFolder
from jobs.runtime.errors import BrokenInput, GateRefused, NightshelfError, TryLater
from jobs.store import encoding, loading, removal
from jobs.store.catalog import LOADING, Answer
from jobs.store.changes import Store
from jobs.store.cluster import FAILOVER_S, TROUBLES, all_confirmed
from jobs.store.encoding import Stored
from jobs.store.lease import Lease, this_process

_MS_PER_S = 1000


@dataclass(frozen=True)
class Placed:
    """What stands in Redis now.

    `already` when it stood there before; `rewritten` hashes that had lost values when they were read back first (a
    failover loses what was not yet copied); `confirmed` as in jobs.store.cluster.all_confirmed. Times in seconds.
    """

    what: Stored
    already: bool
    rewritten: int = 0
    confirmed: bool | None = None
    load_s: float = 0.0
    read_back_s: float = 0.0


def place(
    store: Store, folder: ReleaseFolder, manifest: Mapping[str, Any], *, rate: int = 0
) -> Placed:
    """Load and verify a release; `rate` values a second at most, 0 for no limit.

    Raises GateRefused when its lists are quarantined, BrokenInput when its files are not those of the manifest or
    other lists stand under its id, TryLater when another publisher or Redis is in the way.
    """
    what = encoding.stored(folder, store.namespace, manifest)
    lease = Lease(store.cluster, store.catalog, folder.release, store.settings.lease_s)
    lease.begin()
    begun = store.catalog.change(
        "begin_load",
        *(folder.release, manifest["digest"], manifest["partition"], lease.token),
        *(this_process(store.settings.run_by), lease.duration_ms, json.dumps(what.shape)),
    )
    if begun.word == "already":
        return Placed(what, already=True)
    if not begun.ok:
        raise _problem(folder.release, begun)
    try:
        return _place(store, what, lease, begun.details, rate)
    except Exception:
        _give_up(lease)
        raise


def _place(store: Store, what: Stored, lease: Lease, dead: tuple[str, ...], rate: int) -> Placed:
    for release in dead:
        removal.remove(store, release)
    # What an earlier load of this release left: with other lists it would never pass the read-back.
    lease.unlink(removal.key_names(store.namespace, lease.release, *what.shape))
    started = time.monotonic()
    loading.load(store.cluster, what, rate=rate, keep_going=lease.renew)
    loaded = time.monotonic()
    rewritten, confirmed = read_back(store, what, lease.renew)
    checked = time.monotonic()
    if not store.catalog.change("verify", lease.release, lease.token).ok:
        raise lease.overtaken()
    return Placed(
        what,
        already=False,
        rewritten=rewritten,
        confirmed=store.catalog.confirm() and confirmed,
        load_s=round(loaded - started, 3),
        read_back_s=round(checked - loaded, 3),
    )


def read_back(
    store: Store, what: Stored, keep_going: Callable[[], None]
) -> tuple[int, bool | None]:
    """Compare every value with what it must be, and again until Redis replicas have what was compared.

    A primary that was cut off answers with all that it was told, and a failover takes it away. Returns how many hashes
    were written anew, and None for confirmed where there are no Redis replicas. Raises TryLater when values differ
    again right after they were written, or Redis replicas lag behind for longer than a failover takes.
    """
    give_up_at = time.monotonic() + FAILOVER_S
    rewritten = _compared(store, what, keep_going)
    while (confirmed := all_confirmed(store.cluster)) is False:
        if time.monotonic() > give_up_at:
            raise TryLater(
                f"no Redis replica had all of this release within {FAILOVER_S:g} s",
                f"release {what.meta.release}",
                "see `redis-cli info replication` of each node, then run the step again",
            )
        rewritten += _compared(store, what, keep_going)
    return rewritten, confirmed


def _compared(store: Store, what: Stored, keep_going: Callable[[], None]) -> int:
    wrong = loading.differences(store.cluster, what, keep_going=keep_going)
    if not wrong:
        return 0
    loading.mend(store.cluster, what, wrong)
    left = loading.differences(store.cluster, what, keep_going=keep_going)
    if left:
        raise TryLater(
            f"{sum(len(d.fields) for d in left)} values differ again right after they were written",
            loading.told(left),
            "look for another writer in this namespace, then run the step again",
        )
    return len(wrong)


def _give_up(lease: Lease) -> None:
    """Let the next publisher begin at once instead of when the lease is over."""
    try:
        lease.catalog.change("abandon", lease.release, lease.token)
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
