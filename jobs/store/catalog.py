"""The catalog: which releases are loaded, which is live, which are barred. One Redis hash, changed by one script.

In: a connection and a namespace. Out: transitions and the catalog's content. Guarantees that every transition is one
script call on one key, judged by the server's clock, so that two publishers, a crash between two writes or a
message that arrives twice cannot bring about a state in between:

    begin_load   takes the publisher's lease; refused while another lease runs; names dead loads to clean up
    renew        prolongs the lease; refused to a publisher that was overtaken
    verify       loading -> verified, after read-back; refused to a publisher that was overtaken
    abandon      loading -> retiring
    activate     verified -> live, generation + 1; refuses unverified, quarantined, an older partition, an overtaken
                 generation
    rollback     another verified release -> live, generation + 1; quarantines the lists it leaves
    canary       a verified release beside the live one; an empty release ends it
    quarantine   bars lists by digest; refused for lists that are served
    begin_retire verified -> retiring; refused for live, previous, canary, and for what was so until lately
    finish_retire forgets a retired release
    restore      live and previous of an empty catalog, with a generation above all earlier ones
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis import Redis
from redis.cluster import RedisCluster

from schemas import keys
from schemas.pointer import Pointer, parse_pointer

_SCRIPT = files("jobs.store").joinpath("catalog.lua").read_text("utf-8")

_FLAGS_SINCE = 7

LOADING, VERIFIED, RETIRING = "loading", "verified", "retiring"


@dataclass(frozen=True)
class Answer:
    """What a transition said: `word` is "ok" or the name of the refusal."""

    word: str
    details: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the transition took place."""
        return self.word == "ok"


@dataclass(frozen=True)
class Content:
    """The whole catalog: releases by id and quarantine reasons by digest, both as the script keeps them."""

    generation: int
    pointer: Pointer | None
    releases: dict[str, dict[str, Any]]
    quarantine: dict[str, dict[str, Any]]


class Catalog:
    """The catalog of one namespace."""

    def __init__(self, cluster: RedisCluster, namespace: str) -> None:
        """Use `cluster` for every call; it stays the caller's to close."""
        self._cluster = cluster
        self._key = keys.catalog(namespace)
        # Script flags exist from Redis 7 on.
        version = self._connection().info("server")["redis_version"]
        self._even_when_full = (
            "#!lua flags=allow-oom\n" if int(version.split(".")[0]) >= _FLAGS_SINCE else ""
        )

    def change(self, transition: str, *arguments: str | float) -> Answer:
        """Carry out one transition; the module's docstring lists them."""
        # Loading asks for memory; everything else must also work in a full Redis, above all retiring.
        script = _SCRIPT if transition == "begin_load" else self._even_when_full + _SCRIPT
        raw: Any = self._cluster.eval(script, 1, self._key, transition, *arguments)
        word, *details = (_text(part) for part in raw)
        return Answer(word, tuple(details))

    def read(self) -> Content:
        """Return the catalog as it stands; an empty one where there is none."""
        fields = {
            _text(name): _text(value) for name, value in self._cluster.hgetall(self._key).items()
        }
        return Content(
            generation=int(fields.get(keys.GENERATION, 0)),
            pointer=parse_pointer([fields.get(name) for name in keys.POINTER_FIELDS]),
            releases=_parsed(fields, keys.RELEASE_FIELD),
            quarantine=_parsed(fields, keys.QUARANTINE_FIELD),
        )

    def confirm(self, timeout_ms: int = 1000) -> bool:
        """Wait until a Redis replica of the catalog's shard has the last change; true where there is none."""
        connection = self._connection()
        if int(connection.info("replication").get("connected_slaves", 0)) == 0:
            return True
        return int(connection.wait(1, timeout_ms)) >= 1

    def _connection(self) -> "Redis":
        node = self._cluster.get_node_from_key(self._key)
        return self._cluster.get_redis_connection(node)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _parsed(fields: dict[str, str], prefix: str) -> dict[str, dict[str, Any]]:
    return {
        name.removeprefix(prefix): json.loads(value)
        for name, value in fields.items()
        if name.startswith(prefix)
    }
