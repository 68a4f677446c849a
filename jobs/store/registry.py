"""The release registry: which releases are loaded, which is live, which are quarantined. One hash, one script.

In: a connection and a namespace. Out: transitions and the release registry's content. Guarantees that every transition
is one script call on one key, decided by the server's clock, so that two publishers, a crash between two writes or a
message that arrives twice cannot bring about a state in between. A release's record goes through the states

    (none) -> loading -> verified -> retiring -> (none)        loading -> retiring when its publisher died

    begin_load    takes the publisher's lease; refused while another lease runs; names dead loads to clean up
    renew         prolongs a lease; refused to a publisher that was overtaken
    verify        loading -> verified, after read-back; refused to a publisher that was overtaken
    note          what is known of a verified release since it was read back again
    abandon       loading -> retiring, when a load fails
    activate      verified -> live; refuses unverified, quarantined, an older partition
    rollback      another verified release -> live; quarantines the lists it leaves
    start_canary  a verified release beside the live one, or another share for it
    stop_canary   ends the canary; quarantines its lists if told why
    restore       live and previous as the journal has them
    close         settles an intent without outcome: it was carried out, or it can no longer be
    quarantine    quarantines lists by digest; refused for lists that are served
    begin_retire  verified -> retiring, with a lease; refused for live, previous, canary, and what was so until lately
    finish_retire forgets a retired release
    claim         the store, which has no journal yet, becomes that of the caller's journal
    adopt         takes the store over from another journal; the pointer stays

activate, rollback, start_canary, stop_canary, restore and adopt change the pointer. They carry their intent, which is
`<number>:<digest>` of the journal entry, the generation they expect (another one: refused) and the one they make,
which must be greater; carried out twice they answer twice and change once. An intent's number that the release
registry knows with another digest is refused, and so is everything but adopt that a command of another journal asks
for.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.cluster import RedisCluster

from jobs.runtime.errors import BrokenInput
from jobs.store.cluster import confirmed, patiently
from schemas import keys
from schemas.pointer import Pointer, parse_pointer

_SCRIPT = files("jobs.store").joinpath("registry.lua").read_text("utf-8")

#: What a command does about a store whose history is not that of its journal.
WAYS_OUT = (
    "if NIGHTSHELF_ARTIFACTS and NIGHTSHELF_NAMESPACE are the right ones: `nightshelf reconcile --dry-run` says what "
    "differs, `nightshelf reconcile` takes the history that Redis holds, and `nightshelf reconcile --adopt --by WHO "
    "--reason WHY` lets this journal take the store over"
)

LOADING, VERIFIED, RETIRING = "loading", "verified", "retiring"


@dataclass(frozen=True)
class Answer:
    """What a transition said: `word` is "ok" or the name of the refusal."""

    word: str
    details: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the transition took place."""
        return self.word == "ok"


@dataclass(frozen=True)
class Content:
    """The complete registry: releases by id and quarantine entries by digest, both as the script keeps them.

    `journal` is the id of the journal that the store belongs to ("" for none yet), `intents` maps numbers of journal
    entries to the digests that the release registry knows them by ("" where 0.1.0 wrote none).
    """

    generation: int
    pointer: Pointer | None
    releases: dict[str, dict[str, Any]]
    quarantine: dict[str, dict[str, Any]]
    journal: str
    intents: dict[int, str]

    @property
    def referenced(self) -> set[str]:
        """The releases that the pointer names."""
        if self.pointer is None:
            return set()
        named = {self.pointer.live, self.pointer.previous, self.pointer.canary}
        return {release for release in named if release is not None}

    @property
    def verified(self) -> list[str]:
        """The releases that can be pointed to, in the order of their ids."""
        return sorted(r for r, entry in self.releases.items() if entry["state"] == VERIFIED)

    def unfit(self, release: str) -> str | None:
        """Return why a release cannot be pointed to, or None."""
        entry = self.releases.get(release, {})
        if entry.get("state") != VERIFIED:
            return f"this release was never verified (it is {entry.get('state', 'not loaded')})"
        if entry["digest"] in self.quarantine:
            return f"the lists of this release are quarantined ({self.quarantine[entry['digest']].get('why')})"
        return None


class Registry:
    """The release registry of one namespace, as a command with the journal of id `journal` asks it."""

    def __init__(self, cluster: RedisCluster, namespace: str, journal: str = "") -> None:
        """Use `cluster` for every call; it stays the caller's to close. No `journal` may change an owned store."""
        self.journal, self.namespace = journal, namespace
        self._cluster = cluster
        self._key = keys.registry(namespace)

    def change(self, transition: str, *arguments: str | float) -> Answer:
        """Carry out one transition; the module's docstring lists them.

        Raises BrokenInput when the store belongs to another journal, or knows another entry under an intent's number.
        """
        call = ("EVAL", _SCRIPT, 1, self._key, transition, self.journal, *arguments)
        raw: Any = patiently(lambda: self._cluster.execute_command(*call))
        word, *details = (_text(part) for part in raw)
        if word == "foreign":
            raise BrokenInput(
                f"the store belongs to another journal: {details[0]}", self._key, WAYS_OUT
            )
        if word == "other_entry":
            raise BrokenInput(
                f"Redis knows another entry under the number {details[0]} of this journal",
                self._key,
                WAYS_OUT,
            )
        return Answer(word, tuple(details))

    def read(self) -> Content:
        """Return the release registry as it stands; an empty one where there is none."""
        raw: Any = patiently(lambda: self._cluster.hgetall(self._key))
        fields = {_text(name): _text(value) for name, value in raw.items()}
        return Content(
            generation=int(fields.get(keys.GENERATION, 0)),
            pointer=parse_pointer([fields.get(name) for name in keys.POINTER_FIELDS]),
            releases=_parsed(fields, keys.RELEASE_FIELD),
            quarantine=_parsed(fields, keys.QUARANTINE_FIELD),
            journal=fields.get(keys.JOURNAL_ID, ""),
            intents={
                int(name.removeprefix(keys.INTENT_FIELD)): value.partition(" ")[2]
                for name, value in fields.items()
                if name.startswith(keys.INTENT_FIELD)
            },
        )

    def confirm(self, timeout_ms: int = 1000) -> bool | None:
        """Wait until a Redis replica of the release registry's shard has all changes so far.

        Returns whether one confirmed in time, None where there is no Redis replica.
        """
        return confirmed(self._cluster, self._cluster.get_node_from_key(self._key), timeout_ms)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _parsed(fields: dict[str, str], prefix: str) -> dict[str, dict[str, Any]]:
    return {
        name.removeprefix(prefix): json.loads(value)
        for name, value in fields.items()
        if name.startswith(prefix)
    }
