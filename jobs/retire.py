"""Retire: space in Redis.

In: the catalog. Out: fewer keys. Guarantees that the live, the previous and the canary release stay, that nothing goes
which was one of these within the grace time (an edge replica may still read it), that what a dead publish left
behind goes, and that a retire which dies half-way is finished by the next. Files on disk stay.
"""

from dataclasses import dataclass

from jobs.runtime.settings import Settings
from jobs.store import loading
from jobs.store.catalog import VERIFIED, Catalog, Content
from jobs.store.cluster import connected
from schemas.manifest import RELEASE_ID


@dataclass(frozen=True)
class Outcome:
    """Which releases were removed, how many keys that freed, and which stay."""

    retired: list[str]
    keys_removed: int
    kept: list[str]


def run(settings: Settings) -> Outcome:
    """Remove old releases from Redis. Raises TryLater when Redis is in the way."""
    with connected(settings) as cluster:
        catalog = Catalog(cluster, settings.namespace)
        retired, removed = [], 0
        for release in _candidates(catalog.read(), settings.keep_releases):
            if catalog.change("begin_retire", release, settings.retire_grace_s * 1000).ok:
                removed += loading.remove(cluster, settings.namespace, release)
                catalog.change("finish_retire", release)
                retired.append(release)
        present = loading.loaded_releases(cluster, settings.namespace)
        # Read after the scan: a release that began to load meanwhile is in the catalog by now.
        known = catalog.read().releases
        for orphan in sorted(r for r in present - known.keys() if RELEASE_ID.fullmatch(r)):
            removed += loading.remove(cluster, settings.namespace, orphan)
            retired.append(orphan)
        return Outcome(retired, removed, sorted(known))


def _candidates(content: Content, keep: int) -> list[str]:
    """Return what may go: all but the `keep` newest verified releases, and what is half loaded or half removed."""
    pointer = content.pointer
    referenced = {pointer.live, pointer.previous, pointer.canary} if pointer else set()
    spare = sorted(
        (r for r, e in content.releases.items() if e["state"] == VERIFIED and r not in referenced),
        reverse=True,
    )
    unfinished = [r for r, e in content.releases.items() if e["state"] != VERIFIED]
    return [*spare[max(0, keep - len(referenced - {None})) :], *unfinished]
