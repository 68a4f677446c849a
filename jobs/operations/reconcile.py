"""Reconcile: a store whose history is not that of the journal on disk gets one history again.

In: the journal, Redis, and which of the two is to give way. Out: the journal takes Redis's entries from the first
differing one on, or the store is adopted by the journal as it is. Guarantees that nothing is deleted (what gives way is
set aside in a dated folder, see jobs/release/set_aside.py), that what either history quarantined stays so, that users
go on reading what they read, and that after a crash at any place the same command finishes the work.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from jobs.release import history, journal, journal_identity, set_aside
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import BrokenInput, TryLater
from jobs.runtime.settings import Settings
from jobs.store import changes, histories, journal_copy
from jobs.store.activation import Approval
from jobs.store.changes import Standing, Store
from jobs.store.histories import Comparison
from jobs.store.registry import Answer


@dataclass(frozen=True)
class ReconcileResult:
    """What differed and what was done, or would be done in a dry run.

    `differs_at` is the first differing entry. `set_aside` and `taken` are numbers of entries that left the journal (of
    an adoption: Redis's copy) and that came from Redis's copy, `set_aside_in` the folders that hold the former.
    `quarantined` are digests that only what was set aside had quarantined; `still_served` those of them whose lists are
    live and stay so.
    """

    problem: str | None
    differs_at: int | None
    dry_run: bool
    adopted: bool = False
    journal: str | None = None
    set_aside: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    set_aside_in: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    still_served: list[str] = field(default_factory=list)


def run(
    artifacts: Artifacts,
    settings: Settings,
    *,
    adoption: Approval | None = None,
    dry_run: bool = False,
) -> ReconcileResult:
    """Take Redis's history, or with an `adoption` keep the journal's and take the store over; again changes nothing.

    Raises BrokenInput when Redis does not hold the complete history that is to be taken, or the journal that is to be
    kept cannot be read; TryLater when Redis is in the way or another command writes the journal meanwhile.
    """
    with changes.opened(artifacts, settings) as store:
        if adoption is not None:
            return _adopt(store, adoption, dry_run=dry_run)
        return _take(store, dry_run=dry_run)


def _take(store: Store, *, dry_run: bool) -> ReconcileResult:
    folder = store.artifacts.journal
    compared = histories.compare(store.cluster, store.namespace, folder, tolerant=True)
    keep, taken = _merged(compared)
    leaving = sorted(set(journal.numbers(folder)).difference(keep))
    owner = compared.content.journal
    planned = ReconcileResult(
        problem=compared.problem,
        differs_at=compared.differs_at,
        dry_run=dry_run,
        journal=owner or compared.identity,
        set_aside=leaving,
        taken=sorted(taken),
        quarantined=sorted(
            history.quarantined([e for seq, e in compared.entries.items() if seq in leaving])
        ),
    )
    if dry_run or (compared.problem is None and not leaving and not taken):
        return planned
    files = [journal.path(folder, seq) for seq in leaving]
    if compared.identity is not None and owner not in {"", compared.identity}:
        files.append(journal_identity.path(folder))
    if files or taken:
        set_aside.move(files, set_aside.begin(folder, set_aside.TAKE))
    for _, entry in sorted(taken.items()):
        if not journal.put(folder, entry):
            raise TryLater(
                "another command writes the journal meanwhile",
                str(folder),
                "let it end, then run `nightshelf reconcile` again",
            )
    histories.claim(
        store.cluster,
        store.registry,
        replace(
            compared,
            identity=journal_identity.read(folder),
            entries=_joined(keep, taken),
        ),
        folder,
    )
    return _finished(store, planned)


def _merged(
    compared: Comparison,
) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Any]]]:
    """Return the entries that stay and those that are taken from Redis; together they are Redis's history."""
    copied, split = compared.copied.entries, compared.splits_at
    keep = {
        seq: entry
        for seq, entry in compared.entries.items()
        if (split is None or seq < split) and (seq in copied or not compared.foreign)
    }
    taken = {seq: entry for seq, entry in copied.items() if seq not in keep}
    both = _joined(keep, taken)
    gaps = sorted(set(range(1, max([*both, *compared.content.intents, 0]) + 1)).difference(both))
    wrong = gaps[0] if gaps else replace(compared, entries=both).differs_at
    if wrong is not None or compared.unknown:
        raise BrokenInput(
            f"Redis's copy of the journal lacks entry {wrong or 1} of what Redis has carried out, or holds it altered",
            "the journal's copy in Redis",
            "bring the journal back from a newer backup; or keep the journal on disk and take the store over with "
            "`nightshelf reconcile --adopt --by WHO --reason WHY`",
        )
    return keep, taken


def _joined(*parts: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return dict(sorted(pair for part in parts for pair in part.items()))


def _adopt(store: Store, adoption: Approval, *, dry_run: bool) -> ReconcileResult:
    folder = store.artifacts.journal
    compared = histories.compare(store.cluster, store.namespace, folder)
    first = 1 if compared.foreign else compared.differs_at or compared.last + 1
    leaving = {seq: entry for seq, entry in compared.copied.entries.items() if seq >= first}
    past = history.fold(list(compared.entries.values()))
    planned = ReconcileResult(
        problem=compared.problem,
        differs_at=compared.differs_at,
        dry_run=dry_run,
        adopted=compared.problem is not None,
        journal=compared.identity,
        set_aside=sorted({*leaving, *(s for s in compared.copied.altered if s >= first)}),
        quarantined=sorted(set(compared.content.quarantine).difference(past.quarantine)),
    )
    if dry_run or compared.problem is None:
        return planned
    place = set_aside.begin(folder, set_aside.ADOPT)
    set_aside.keep_copy(leaving, compared.copied.altered, place)
    store.registry.journal = compared.identity or journal_identity.make(folder)
    if compared.foreign or compared.differs_at is not None or not compared.content.journal:
        _take_over(store, Standing(compared.content, past), adoption)
    journal_copy.replace_from(store.cluster, store.namespace, first, journal.read(folder))
    return replace(_finished(store, planned), journal=store.registry.journal)


def _take_over(store: Store, standing: Standing, adoption: Approval) -> None:
    pointer = standing.content.pointer
    live = pointer.live if pointer else None
    record = standing.content.releases.get(live or "", {})
    done = changes.change(
        store,
        standing,
        journal.ADOPT,
        "adopt",
        entry={
            "who": adoption.by,
            "why": adoption.reason,
            "to": live,
            "previous": pointer.previous if pointer else None,
            "digest": record.get("digest", ""),
            "partition": record.get("partition", ""),
            "from_journal": standing.content.journal,
        },
    )
    if isinstance(done, Answer):
        raise TryLater(
            f"the pointer moved meanwhile: {' '.join((done.word, *done.details))}",
            "the release registry",
            "let the other command end, then run `nightshelf reconcile --adopt` again",
        )


def _finished(store: Store, planned: ReconcileResult) -> ReconcileResult:
    """Settle what is open, carry over the quarantines of what was set aside, and say that it is done."""
    folder = store.artifacts.journal
    standing = changes.settled_own(store)
    past = standing.history
    own = {e["quarantined"] for e in journal.read(folder) if e["action"] == journal.QUARANTINE}
    found = {**standing.content.quarantine, **set_aside.quarantined(folder)}
    carried = {d: e for d, e in found.items() if d not in past.quarantine and d not in own}
    served = []
    for digest, entry in sorted(carried.items()):
        written = journal.append(
            folder,
            journal.QUARANTINE,
            who=entry.get("who", store.settings.run_by),
            why=entry.get("why", ""),
            release=entry.get("release") or entry.get("from"),
            quarantined=digest,
            carried_over=True,
        )
        if not changes.quarantine_own(store, written):
            served.append(digest)
    return replace(
        planned,
        set_aside_in=set_aside.finish(folder),
        quarantined=sorted(carried),
        still_served=served,
    )
