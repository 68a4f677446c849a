"""Reading a release back: every value compared with its files, written again where it differs, confirmed by copies.

In: an open store and what it must hold. Out: what had to be written again. When it returns, every value was what it
must be, and every shard's Redis replica, where there are any, had it.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from jobs.runtime.errors import TryLater
from jobs.store import loading, soundness, totals
from jobs.store.changes import Store
from jobs.store.cluster import FAILOVER_S, all_confirmed
from jobs.store.encoding import Stored
from jobs.store.loading import Difference

BeforeWriting = Callable[[list[Difference]], None]


@dataclass(frozen=True)
class ReadBack:
    """How many hashes and values were written again, and `confirmed` as in jobs.store.cluster.all_confirmed."""

    hashes: int = 0
    values: int = 0
    confirmed: bool | None = None


def read_back(
    store: Store,
    what: Stored,
    keep_going: Callable[[], None],
    *,
    before_writing: BeforeWriting | None = None,
    rounds: int = 1,
) -> ReadBack:
    """Compare every value with what it must be, and again until Redis replicas have what was compared.

    A primary that was cut off answers with all that it was told, and a failover takes it away. `before_writing` sees
    the differences and may raise. Raises TryLater when values differ again after so many rounds of writing, or Redis
    replicas lag behind for longer than a failover takes.
    """
    give_up_at = time.monotonic() + FAILOVER_S
    found = _compared(store, what, keep_going, before_writing, rounds)
    while (confirmed := all_confirmed(store.cluster)) is False:
        if time.monotonic() > give_up_at:
            raise TryLater(
                f"no Redis replica had all of this release within {FAILOVER_S:g} s",
                f"release {what.meta.release}",
                "see `redis-cli info replication` of each node, then run the step again",
            )
        more = _compared(store, what, keep_going, before_writing, rounds)
        found = ReadBack(found.hashes + more.hashes, found.values + more.values)
    return replace(found, confirmed=confirmed)


def facts(store: Store, what: Stored) -> str:
    """Return what the release registry keeps of a release that was read back, as JSON."""
    return json.dumps(
        {
            "totals": totals.of(store.namespace, what),
            "bytes": sum(soundness.needed(store.cluster, what).values()),
            "redis_replicas": soundness.redis_replicas(soundness.nodes(store.cluster)),
        }
    )


def _compared(
    store: Store,
    what: Stored,
    keep_going: Callable[[], None],
    before_writing: BeforeWriting | None,
    rounds: int,
) -> ReadBack:
    at_once = soundness.hashes_at_once(soundness.nodes(store.cluster))

    def differences() -> list[Difference]:
        return loading.differences(store.cluster, what, keep_going=keep_going, at_once=at_once)

    first = left = differences()
    while left:
        if rounds == 0:
            raise TryLater(
                f"{sum(len(d.fields) for d in left)} values differ again right after they were written",
                loading.as_text(left),
                "look for another writer in this namespace, and at `nightshelf check-store`, then run the step again",
            )
        if before_writing is not None:
            before_writing(left)
        loading.repair(store.cluster, what, left)
        rounds -= 1
        left = differences()
    return ReadBack(len(first), sum(len(difference.fields) for difference in first))
