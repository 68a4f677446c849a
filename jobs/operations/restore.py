"""Restore: a cluster that lost all or some of its content, made complete from the journal and the release files.

In: the journal and the release folders under the artifacts. Out: the same live and previous release in Redis, a higher
generation, the same quarantine, no canary. Guarantees that files are compared with the manifest before they are
loaded, that every value is read back before the pointer is set, and that what was quarantined stays so. The live
release comes first: the previous one and the canary are loaded only where Redis throws nothing out for it.
"""

from dataclasses import dataclass, field
from typing import Any

from jobs.release import history, journal, manifest
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import BrokenInput, GateRefused, NightshelfError, TryLater
from jobs.runtime.settings import Settings
from jobs.store import changes, totals
from jobs.store.changes import Standing, Store
from jobs.store.placing import place
from jobs.store.registry import VERIFIED, Answer
from jobs.store.repair import repair

#: How often the live release is written again where Redis throws values out: older ones of other releases go first.
_ROUNDS = 5


@dataclass(frozen=True)
class RestoreResult:
    """What is live and previous now.

    `restored` says whether the pointer was set, `loaded` which releases were loaded, `mended` how many hashes of the
    others had lost or wrong values. All three are empty when there was nothing to do.
    """

    release: str | None
    previous: str | None
    generation: int
    quarantined: int
    restored: bool
    loaded: list[str] = field(default_factory=list)
    mended: int = 0


def run(artifacts: Artifacts, settings: Settings) -> RestoreResult:
    """Bring Redis back to what the journal says; again when it is complete changes nothing.

    Raises BrokenInput when a file that is needed is missing or has changed, or when Redis would throw out lists to
    take the previous release or the canary: the live one is restored all the same. Raises TryLater when Redis is in
    the way.
    """
    with changes.opened(artifacts, settings) as store:
        standing = changes.settled(store)
        past, pointer = standing.history, standing.content.pointer
        lost = standing.behind or (pointer is None and past.live is not None)
        live = past.live if lost or pointer is None else pointer.live
        previous = past.previous if lost or pointer is None else pointer.previous
        if live is None:
            return RestoreResult(
                None, None, standing.content.generation, len(past.quarantine), restored=False
            )
        canary = None if lost or pointer is None else pointer.canary
        return _restore(store, standing, live, _fit(standing, previous), canary, lost=lost)


def _restore(
    store: Store,
    standing: Standing,
    live: str,
    previous: str | None,
    canary: str | None,
    *,
    lost: bool,
) -> RestoreResult:
    done = _complete(store, live, protect=False)
    broken: dict[str, NightshelfError] = {}
    for release in dict.fromkeys(one for one in (canary, previous) if one is not None):
        try:
            done += _complete(store, release, protect=True)
        except (BrokenInput, GateRefused) as error:
            broken[release] = error
    if previous in broken and previous not in store.registry.read().verified:
        previous = None
    done += _look_again(store, live)
    generation = standing.content.generation
    if lost:
        generation = _point(store, standing, live, previous)
    for release, why in broken.items():
        role = "the canary" if release == canary else "the previous one"
        raise type(why)(
            f"the live release {live} is whole, {role} is not: {why.what}", why.where, why.do
        ) from why
    return RestoreResult(
        release=live,
        previous=previous,
        generation=generation,
        quarantined=len(standing.history.quarantine),
        restored=lost,
        loaded=list(done.loaded),
        mended=done.mended,
    )


@dataclass(frozen=True)
class _Done:
    """Which releases were loaded, and how many hashes of others were written again."""

    loaded: tuple[str, ...] = ()
    mended: int = 0

    def __add__(self, other: "_Done") -> "_Done":
        return _Done(self.loaded + other.loaded, self.mended + other.mended)


def _complete(store: Store, release: str, *, protect: bool) -> _Done:
    """Load a release, or repair it where it stands; `protect` as in jobs.store.repair."""
    record: dict[str, Any] = store.registry.read().releases.get(release, {})
    rounds = 1 if protect else _ROUNDS
    if record.get("state") == VERIFIED:
        return _Done(mended=repair(store, release, protect=protect, rounds=rounds).hashes)
    folder = store.artifacts.release(release)
    described, rate = manifest.read(folder), store.settings.load_rate
    place(store, folder, described, rate=rate, protect=protect, rounds=rounds)
    return _Done(loaded=(release,))


def _look_again(store: Store, live: str) -> _Done:
    """Count the live release once more: whatever else was written may have cost it values."""
    record = store.registry.read().releases[live]
    if totals.gap(store.cluster, store.namespace, live, record).complete:
        return _Done()
    return _complete(store, live, protect=False)


def _point(store: Store, standing: Standing, live: str, previous: str | None) -> int:
    for intent in standing.history.opened:
        # Redis has lost what would tell whether it was carried out; it counts, and it can no longer be repeated.
        changes.settle(store, intent, Answer(history.ASSUMED))
    record = store.registry.read().releases[live]
    done = changes.change(
        store,
        standing,
        journal.RESTORE,
        "restore",
        *(live, previous or ""),
        entry={
            "who": store.settings.run_by,
            "why": f"the pointer of generation {standing.history.generation} was lost",
            "to": live,
            "previous": previous,
            "digest": record["digest"],
            "partition": record["partition"],
        },
    )
    if isinstance(done, Answer):
        raise TryLater(
            f"Redis refuses to point to {live}: {' '.join((done.word, *done.details))}",
            "the release registry",
            "look at `nightshelf releases`; activate another release with --force, or run restore again",
        )
    # Now that the lists rolled back from are no longer served, they can be quarantined here too.
    changes.quarantine_behind(store, history.fold(journal.read(store.artifacts.journal)))
    return done.generation


def _fit(standing: Standing, release: str | None) -> str | None:
    """Return `release`, or None if its lists were quarantined."""
    digest = standing.history.activations.get(release or "")
    return None if digest in standing.history.quarantine else release
