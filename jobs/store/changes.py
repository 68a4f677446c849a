"""Changes of the pointer: the journal, then Redis, then the journal.

In: an open store and what to change. Out: the change, or a refusal that is written down. Guarantees that a crash at
any place leaves a state that the next command settles: an intent without an outcome is looked up in the release
registry by its number and its digest, and either it was carried out there, or from then on it can no longer be.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from redis.cluster import RedisCluster

from jobs.release import history, journal
from jobs.release.history import History
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import NightshelfError, TryLater
from jobs.runtime.settings import Settings
from jobs.store import histories, journal_copy
from jobs.store.cluster import TROUBLES, connected
from jobs.store.registry import Answer, Content, Registry

#: How long another command's intent may stand open before it is taken for dead. A change takes milliseconds.
PATIENCE_S = 2.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Store:
    """An open connection, the release registry on it, the journal beside it."""

    cluster: RedisCluster
    registry: Registry
    artifacts: Artifacts
    settings: Settings

    @property
    def namespace(self) -> str:
        """What every key starts with."""
        return self.settings.namespace


@dataclass(frozen=True)
class Standing:
    """What Redis and the journal say when a command begins."""

    content: Content
    history: History

    @property
    def behind(self) -> bool:
        """Whether Redis has lost a change that the journal has: it was wiped, or failed over too early."""
        return bool(self.history.opened) or (
            self.content.generation < self.history.settled_generation
        )


@dataclass(frozen=True)
class Change:
    """A change that took place.

    `confirmed` says whether a Redis replica has it (None: there is none), `copied` whether the journal's copy in
    Redis has it; the next command makes good what is missing.
    """

    generation: int
    confirmed: bool | None
    copied: bool


@contextmanager
def opened(artifacts: Artifacts, settings: Settings) -> Iterator[Store]:
    """Give an open store. Raises TryLater and WrongUsage as `jobs.store.cluster.connected`."""
    with connected(settings) as cluster:
        yield Store(cluster, Registry(cluster, settings.namespace), artifacts, settings)


def settled(store: Store, *, begins: bool = False) -> Standing:
    """Return how things stand, after settling open intents and carrying missing quarantines to Redis.

    A store without an owner becomes that of this journal, one without entries only with `begins`. Raises BrokenInput
    when the store and the journal do not belong together.
    """
    require_own(store, begins=begins)
    return settled_own(store)


def require_own(store: Store, *, begins: bool = False) -> None:
    """Raise BrokenInput unless the store belongs to this journal, or has no owner and now becomes its own."""
    folder = store.artifacts.journal
    compared = histories.compare(store.cluster, store.namespace, folder)
    histories.require_one(compared, store.namespace, folder)
    if begins or compared.entries or compared.content.journal:
        histories.claim(store.cluster, store.registry, compared, folder)


def settled_own(store: Store) -> Standing:
    """Do the same as `settled` for a store that is known to be this journal's."""
    past = history.fold(journal.read(store.artifacts.journal))
    deadline = time.monotonic() + PATIENCE_S
    while past.opened and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        past = history.fold(journal.read(store.artifacts.journal))
    for intent in past.opened:
        _close(store, intent)
    past = history.fold(journal.read(store.artifacts.journal))
    quarantine_behind(store, past)
    copy(store)
    return Standing(store.registry.read(), past)


def _close(store: Store, intent: dict[str, Any]) -> None:
    if intent["action"] == journal.QUARANTINE:
        answer = store.registry.change("quarantine", intent["quarantined"], json.dumps(intent))
    else:
        answer = store.registry.change(
            "close", journal.name(intent), intent["expected"], intent.get("to") or ""
        )
    if answer.word != "behind":
        settle(store, intent, answer)


def quarantine_behind(store: Store, past: History) -> None:
    """Quarantine in Redis what the journal quarantines and the release registry does not know of.

    Not what an open intent quarantines: it may yet be refused, and then the lists that it would have left are live.
    """
    known = store.registry.read().quarantine
    doubtful = {intent["seq"] for intent in past.opened}
    for digest, entry in past.quarantine.items():
        if digest not in known and entry["seq"] not in doubtful:
            store.registry.change("quarantine", digest, json.dumps(entry))


def copy(store: Store) -> bool:
    """Bring the journal's copy in Redis up to date; say whether that worked."""
    try:
        journal_copy.bring_up_to_date(store.cluster, store.namespace, store.artifacts.journal)
    except TROUBLES:
        # The durable journal has it all; a full Redis must not fail a rollback that took place.
        return False
    return True


def require_complete(standing: Standing) -> None:
    """Raise TryLater when Redis has lost changes of the pointer."""
    if standing.behind:
        raise TryLater(
            f"Redis has lost changes of the pointer: its generation is {standing.content.generation}, "
            f"the journal's {standing.history.generation}",
            "the release registry",
            "run `nightshelf restore`, then this step again",
        )


def quarantine_now(store: Store, entry: dict[str, Any]) -> bool:
    """Carry out a quarantine of the journal; say whether the lists are quarantined (served ones are not)."""
    require_own(store)
    return quarantine_own(store, entry)


def quarantine_own(store: Store, entry: dict[str, Any]) -> bool:
    """Do the same as `bar_now` in a store that is known to be this journal's."""
    answer = store.registry.change("quarantine", entry["quarantined"], json.dumps(entry))
    _outcome(store, entry, answer)
    copy(store)
    return answer.ok


def change(
    store: Store,
    standing: Standing,
    action: str,
    transition: str,
    *arguments: str | float,
    entry: dict[str, Any],
    with_entry: bool = False,
) -> Change | Answer:
    """Write the intent, carry out `transition`, write the outcome. Return the change, or Redis's refusal.

    `entry` is what the journal keeps beside the generation; `with_entry` makes it the transition's last argument.
    Raises TryLater when the disk is full or Redis is in the way.
    """
    expected = standing.content.generation
    following = max(expected, standing.history.generation) + 1
    intent = journal.append(
        store.artifacts.journal, action, generation=following, expected=expected, **entry
    )
    why = (json.dumps(intent),) if with_entry else ()
    answer = store.registry.change(
        transition, journal.name(intent), expected, following, *arguments, *why
    )
    _outcome(store, intent, answer)
    if not answer.ok:
        copy(store)
        return answer
    try:
        confirmed = store.registry.confirm()
    except TROUBLES:
        confirmed = False
    return Change(following, confirmed, copy(store))


def _outcome(store: Store, intent: dict[str, Any], answer: Answer, **more: Any) -> None:
    result = journal.OK if answer.ok else " ".join((answer.word, *answer.details))
    journal.append(
        store.artifacts.journal, journal.OUTCOME, of=intent["seq"], result=result, **more
    )


def settle(store: Store, intent: dict[str, Any], answer: Answer) -> None:
    """Write down how another command's intent ended."""
    _outcome(store, intent, answer, settled_by=store.settings.run_by)


def refuse(store: Store, error: NightshelfError, *, who: str, release: str | None) -> NoReturn:
    """Write a refusal down and raise it."""
    journal.append(store.artifacts.journal, journal.REFUSAL, who=who, why=error.what, to=release)
    copy(store)
    raise error
