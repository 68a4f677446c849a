"""Retire: space in Redis.

In: the release registry. Out: fewer keys. Guarantees that the live, the previous and the canary release stay, that
nothing goes which was one of these within the grace time (an edge replica may still read it), that what a dead publish
left behind goes, and that a retire which dies half-way is finished by the next. Files on disk stay.
"""

from dataclasses import dataclass

from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from jobs.store import changes, removal
from jobs.store.registry import VERIFIED, Content


@dataclass(frozen=True)
class RetireResult:
    """Which releases were removed, how many keys that freed, and which stay."""

    retired: list[str]
    keys_removed: int
    kept: list[str]


def run(settings: Settings) -> RetireResult:
    """Remove old releases from Redis: all but those the pointer names and the `keep_releases` newest besides.

    Raises TryLater when Redis is in the way or has lost changes of the pointer.
    """
    with changes.opened(Artifacts(settings.artifacts), settings) as store:
        standing = changes.settled(store)
        # A pointer that went back in time does not say what edge replicas read.
        changes.require_complete(standing)
        removed: dict[str, int] = {}
        for release in _candidates(standing.content, settings.keep_releases):
            keys = removal.remove(store, release, grace_s=settings.retire_grace_s)
            if keys is not None:
                removed[release] = keys
        for release, names in removal.orphans(store).items():
            keys = removal.remove(store, release, names=names)
            if keys is not None:
                removed[release] = removed.get(release, 0) + keys
        kept = sorted(store.registry.read().releases)
        return RetireResult(sorted(removed), sum(removed.values()), kept)


def _candidates(content: Content, keep: int) -> list[str]:
    """Return what may go: all but the `keep` newest spare releases, and what is half loaded or half removed."""
    spare = [r for r in content.verified if r not in content.referenced]
    quarantined = [r for r in spare if content.releases[r]["digest"] in content.quarantine]
    fit = [r for r in spare if r not in quarantined]
    unfinished = sorted(r for r, e in content.releases.items() if e["state"] != VERIFIED)
    return [*unfinished, *quarantined, *fit[: max(0, len(fit) - keep)]]
