"""Removing releases from Redis: space, and what dead commands left behind.

In: an open store and a release. Out: fewer keys. Guarantees that a release's keys go only while the release registry
calls it retiring under this command's lease, and that a removal which died is taken up by the next.
"""

from redis.cluster import RedisCluster

from jobs.store import totals
from jobs.store.changes import Store
from jobs.store.lease import Lease, this_process
from schemas.manifest import RELEASE_ID

_SCAN_COUNT = 1000


def remove(
    store: Store, release: str, *, grace_s: int = 0, names: list[str] | None = None
) -> int | None:
    """Remove a release and return how many keys that were, or None when the release registry refuses.

    `names` are its keys; None means those that its record in the release registry tells.
    """
    lease = Lease(store.cluster, store.registry, release, store.settings.lease_s)
    lease.begin()
    shape = store.registry.read().releases.get(release, {}).get("shape")
    taken = store.registry.change(
        "begin_retire",
        *(release, grace_s * 1000, lease.token),
        *(this_process(store.settings.run_by), lease.duration_ms),
    )
    if not taken.ok:
        return None
    if names is None:
        names = key_names(store.namespace, release, *shape) if shape else []
    removed = lease.unlink(names)
    store.registry.change("finish_retire", release, lease.token)
    return removed


def key_names(namespace: str, release: str, user_buckets: int, book_buckets: int) -> list[str]:
    """Return the names of all keys of a release."""
    by_kind = totals.names(namespace, release, user_buckets, book_buckets)
    return [name for names in by_kind.values() for name in names]


def orphans(store: Store) -> dict[str, list[str]]:
    """Return the keys of releases that the release registry does not know, by release."""
    found = _present(store.cluster, store.namespace)
    # Read after the scan: whoever began to load meanwhile is in the release registry by now.
    known = store.registry.read().releases
    return {release: names for release, names in found.items() if release not in known}


def _present(cluster: RedisCluster, namespace: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    # SCAN asks every primary; a release has a few thousand keys, so this is quick.
    for raw in cluster.scan_iter(match=f"{namespace}:*:*", count=_SCAN_COUNT):
        name = raw.decode()
        release = name.removeprefix(f"{namespace}:").split(":", 1)[0]
        if RELEASE_ID.fullmatch(release):
            found.setdefault(release, []).append(name)
    return found
