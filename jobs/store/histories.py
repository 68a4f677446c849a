"""One store, one history: whether Redis and the journal on disk belong together.

In: the release registry, the journal's copy in Redis, the journal. Out: a `Comparison`. Guarantees that a journal that
came back from an older backup, was deleted, or belongs to another artifacts folder is found before anything is
changed, whatever the numbers of its entries: entries are compared by content, and a store keeps the id of its journal.

A copy in Redis that is shorter than the journal is normal: it lags behind, or Redis was wiped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.cluster import RedisCluster

from jobs.release import history, journal, journal_identity, set_aside
from jobs.runtime.errors import BrokenInput
from jobs.runtime.settings import Settings
from jobs.store import journal_copy
from jobs.store.cluster import connected
from jobs.store.journal_copy import Copy
from jobs.store.registry import WAYS_OUT, Content, Registry


@dataclass(frozen=True)
class Comparison:
    """What Redis and the disk hold; `identity` is the journal's id, None while it has none."""

    content: Content
    copied: Copy
    entries: dict[int, dict[str, Any]]
    identity: str | None
    unfinished: tuple[Path, ...]

    @property
    def last(self) -> int:
        """The number of the journal's last entry, 0 when it has none."""
        return max(self.entries, default=0)

    @property
    def differs_at(self) -> int | None:
        """The first number under which Redis knows an entry that the journal has not, or has otherwise."""
        known = {*self.copied.entries, *self.copied.altered, *self.content.intents}
        for seq in sorted(known):
            entry = self.entries.get(seq)
            if entry is None or not self._agrees(seq, entry):
                return seq
        past = history.fold(list(self.entries.values()))
        return self.last + 1 if self.content.generation > past.generation else None

    @property
    def splits_at(self) -> int | None:
        """The first number under which Redis and the journal hold different entries."""
        return next((s for s, e in self.entries.items() if not self._agrees(s, e)), None)

    def _agrees(self, seq: int, entry: dict[str, Any]) -> bool:
        if seq in self.copied.altered or self.copied.entries.get(seq, entry) != entry:
            return False
        # 0.1.0 kept no digest of an intent.
        known = self.content.intents.get(seq)
        return not known or known == journal.digest(entry)

    @property
    def foreign(self) -> bool:
        """Whether the store has an owner, which is not this journal."""
        owner = self.content.journal
        if self.identity is None and self.entries and self.differs_at is None:
            # A journal of before there were ids, and Redis's copy says that it is the same.
            return bool(owner) and not self.copied.entries
        return bool(owner) and owner != self.identity

    @property
    def unknown(self) -> bool:
        """Whether the store was used and has neither an owner nor a copy of a journal."""
        content = self.content
        return not content.journal and content.generation > 0 and not self.copied.entries

    @property
    def problem(self) -> str | None:
        """Return in words why the two do not belong together, or None."""
        if self.unfinished:
            return f"`nightshelf reconcile` was interrupted: {self.unfinished[0].name}"
        if self.foreign:
            this = self.identity or "one without an id"
            return f"the store belongs to journal {self.content.journal}, this is {this}"
        if self.unknown:
            return "nothing in Redis says whose store this is: it has a pointer, but no copy of a journal"
        return self._difference()

    def _difference(self) -> str | None:
        at = self.differs_at
        if at is None:
            return None
        if at in self.copied.altered:
            return (
                f"entry {at} of the journal's copy in Redis was altered: its checksum does not fit"
            )
        if at > self.last:
            return f"the journal ends with entry {self.last}, Redis knows more, from entry {at} on"
        return f"entry {at} of the journal is another one than Redis knows"


def compare(
    cluster: RedisCluster, namespace: str, folder: Path, *, tolerant: bool = False
) -> Comparison:
    """Compare a store with the journal in `folder`.

    Raises BrokenInput when the journal cannot be read, also when an entry is missing or was altered; `tolerant` leaves
    such entries out.
    """
    # Redis before the disk: whatever Redis has by now stood in the journal before.
    content = Registry(cluster, namespace).read()
    copied = journal_copy.read(cluster, namespace)
    return Comparison(
        content=content,
        copied=copied,
        entries=journal.intact(folder)
        if tolerant
        else {entry["seq"]: entry for entry in journal.read(folder)},
        identity=journal_identity.read(folder),
        unfinished=tuple(set_aside.unfinished(folder)),
    )


def require_one(compared: Comparison, namespace: str, folder: Path) -> None:
    """Raise BrokenInput when the store and the journal do not belong together."""
    problem = compared.problem
    if problem is None:
        return
    do = WAYS_OUT
    if compared.unfinished:
        adopts = compared.unfinished[0].name.split(".")[0].endswith(set_aside.ADOPT)
        more = " --adopt --by WHO --reason WHY" if adopts else ""
        do = f"run `nightshelf reconcile{more}` again; it finishes what was begun"
    raise BrokenInput(problem, f"{folder} and namespace {namespace} in Redis", do)


def check(folder: Path, settings: Settings) -> None:
    """Raise BrokenInput when the store and the journal do not belong together; TryLater when Redis is in the way."""
    with connected(settings) as cluster:
        require_one(compare(cluster, settings.namespace, folder), settings.namespace, folder)


def claim(cluster: RedisCluster, registry: Registry, compared: Comparison, folder: Path) -> None:
    """Make the store that of this journal, where it has no owner yet.

    Raises BrokenInput when another journal was quicker.
    """
    owner = compared.content.journal
    registry.journal = compared.identity or journal_identity.make(folder, owner or None)
    if owner:
        return
    registry.change("claim")
    if compared.copied.entries:
        # 0.1.0 copied entries without their checksums.
        same = [compared.entries[seq] for seq in compared.copied.entries]
        journal_copy.write(cluster, registry.namespace, same)
