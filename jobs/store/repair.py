"""Repair: a verified release that has lost values gets them from its files again.

In: an open store and a release. Out: the same values as when it was verified, and its totals in the release registry.
Files are compared with the manifest before anything is written.
"""

from collections.abc import Callable

from jobs.release import manifest
from jobs.runtime.errors import BrokenInput
from jobs.store import encoding, soundness
from jobs.store.changes import Store
from jobs.store.encoding import Stored
from jobs.store.loading import Difference
from jobs.store.read_back import ReadBack, facts, read_back


def repair(store: Store, release: str, *, protect: bool = True, rounds: int = 1) -> ReadBack:
    """Compare every value of a verified release with its files and write again what differs.

    With `protect` raises BrokenInput where writing would make Redis throw out other lists. Raises BrokenInput when
    files are missing, changed, or of other lists than those that were verified.
    """
    folder = store.artifacts.release(release)
    what = encoding.stored(folder, store.namespace, manifest.read(folder))
    return repair_from(store, what, protect=protect, rounds=rounds)


def repair_from(store: Store, what: Stored, *, protect: bool = True, rounds: int = 1) -> ReadBack:
    """Do the same with what Redis must hold at hand."""
    release, digest = what.meta.release, what.meta.digest
    record = store.registry.read().releases.get(release, {})
    if record.get("digest") != digest:
        raise BrokenInput(
            "other lists were verified under this release id",
            f"release {release}, digest {record.get('digest')}",
            "a release never changes: find out who wrote the files of this folder",
        )
    done = read_back(
        store,
        what,
        lambda: None,  # nothing competes for a verified release
        before_writing=_protecting(store, what) if protect else None,
        rounds=rounds,
    )
    if done.hashes or "totals" not in record:
        store.registry.change("note", release, digest, facts(store, what))
    return done


def _protecting(store: Store, what: Stored) -> Callable[[list[Difference]], None]:
    def require_room(wrong: list[Difference]) -> None:
        more = soundness.needed(store.cluster, what, wrong)
        primaries = soundness.nodes(store.cluster)
        soundness.require_room(soundness.findings(primaries, more, None))

    return require_room
