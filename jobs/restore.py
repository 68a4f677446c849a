"""Restore: a cluster that lost all or some of its content, made whole from the journal and the release files.

In: the journal and the release folders under the artifacts. Out: the same live and previous release in Redis, a higher
generation, the same quarantine, no canary. Guarantees that files are compared with the manifest before they are
loaded, that every value is read back before the pointer is set, and that what was quarantined stays so.
"""

from dataclasses import dataclass, field
from typing import Any

from jobs.release import history, journal, manifest
from jobs.release.folder import Artifacts
from jobs.runtime.errors import BrokenInput, NightshelfError, TryLater
from jobs.runtime.settings import Settings
from jobs.store import changes, encoding
from jobs.store.catalog import VERIFIED, Answer
from jobs.store.changes import Standing, Store
from jobs.store.placing import place, read_back


@dataclass(frozen=True)
class Outcome:
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


def run(artifacts: Artifacts, settings: Settings) -> Outcome:
    """Bring Redis back to what the journal says; again when it is whole changes nothing.

    Raises BrokenInput when a file that is needed is missing or has changed: if it is one of the previous release, the
    live one is restored all the same. Raises TryLater when Redis is in the way.
    """
    with changes.opened(artifacts, settings) as store:
        standing = changes.settled(store)
        past, pointer = standing.history, standing.content.pointer
        lost = standing.behind or (pointer is None and past.live is not None)
        live = past.live if lost or pointer is None else pointer.live
        previous = past.previous if lost or pointer is None else pointer.previous
        if live is None:
            return Outcome(
                None, None, standing.content.generation, len(past.quarantine), restored=False
            )
        return _restore(store, standing, live, _fit(standing, previous), lost=lost)


def _restore(
    store: Store, standing: Standing, live: str, previous: str | None, *, lost: bool
) -> Outcome:
    loaded, mended = _make_whole(store, live)
    broken: NightshelfError | None = None
    if previous is not None:
        try:
            more, hashes = _make_whole(store, previous)
            loaded, mended = [*loaded, *more], mended + hashes
        except BrokenInput as error:
            broken = error
            previous = None if previous not in store.catalog.read().verified else previous
    generation = standing.content.generation
    if lost:
        generation = _point(store, standing, live, previous)
    if broken is not None:
        raise BrokenInput(
            f"the live release {live} is whole, the previous one is not: {broken.what}",
            broken.where,
            broken.do,
        ) from broken
    return Outcome(
        release=live,
        previous=previous,
        generation=generation,
        quarantined=len(standing.history.quarantine),
        restored=lost,
        loaded=loaded,
        mended=mended,
    )


def _make_whole(store: Store, release: str) -> tuple[list[str], int]:
    """Load a release, or mend it where it stands; return what was loaded and how many hashes were mended."""
    folder = store.artifacts.release(release)
    described = manifest.read(folder)
    record: dict[str, Any] = store.catalog.read().releases.get(release, {})
    if record.get("state") != VERIFIED:
        place(store, folder, described, rate=store.settings.load_rate)
        return [release], 0
    what = encoding.stored(folder, store.namespace, described)
    mended, _ = read_back(store, what, _go_on)
    return [], mended


def _point(store: Store, standing: Standing, live: str, previous: str | None) -> int:
    for intent in standing.history.opened:
        # Redis has lost what would tell whether it was carried out; it counts, and it can no longer be repeated.
        changes.settle(store, intent, Answer(history.ASSUMED))
    record = store.catalog.read().releases[live]
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
            "the catalog",
            "look at `nightshelf releases`; activate another release, or run restore again",
        )
    # Now that the lists rolled back from are no longer served, they can be barred here too.
    changes.bar(store, history.fold(journal.read(store.artifacts.journal)))
    return done.generation


def _fit(standing: Standing, release: str | None) -> str | None:
    """Return `release`, or None if its lists were quarantined."""
    digest = standing.history.activations.get(release or "")
    return None if digest in standing.history.quarantine else release


def _go_on() -> None:
    """Nothing else competes for a verified release."""
