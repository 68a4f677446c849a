"""Totals: how many values each kind of key of a release has, and how many of them are still there.

In: what a release must hold, or its record in the release registry. Out: totals by kind, and what is missing. Counting
needs no file: HLEN of every hash and EXISTS of the description, in pipelines over all shards.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from redis.cluster import RedisCluster

from jobs.store.cluster import together
from jobs.store.encoding import BUCKET_SIZE, Stored
from schemas import keys

USERS, SIMILAR, BOOKS, POPULAR, META = "users", "similar", "books", "popular", "meta"

_PIPELINE = 1000


@dataclass(frozen=True)
class Gap:
    """What a loaded release lacks in Redis.

    `values` counts what the totals of its record say and Redis does not have; it is None for a release that older code
    loaded, of which only lost keys can be counted. `surplus` says that a kind of key has more values than were loaded.
    `users` is how many users at most get a fallback because of it.
    """

    keys: int = 0
    values: int | None = 0
    users: int = 0
    surplus: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be missing."""
        return not self.keys and not self.values and not self.surplus

    @property
    def text(self) -> str:
        """What is missing, in words."""
        if self.surplus and not self.keys and not self.values:
            return "more values than were loaded"
        values = "" if self.values is None else f"{self.values} values, "
        return f"{values}{self.keys} complete keys"


def names(
    namespace: str, release: str, user_buckets: int, book_buckets: int
) -> dict[str, list[str]]:
    """Return the names of all keys of a release by kind."""
    return {
        META: [keys.meta(namespace, release)],
        POPULAR: [keys.popular(namespace, release)],
        USERS: _buckets(keys.users_prefix(namespace, release), user_buckets),
        SIMILAR: _buckets(keys.similar_prefix(namespace, release), book_buckets),
        BOOKS: _buckets(keys.books_prefix(namespace, release), book_buckets),
    }


def of(namespace: str, what: Stored) -> dict[str, int]:
    """Return how many values each kind of key must have."""
    by_kind = names(namespace, what.meta.release, *what.shape)
    return {META: 1} | {
        kind: sum(len(what.hashes[name]) for name in by_kind[kind])
        for kind in (POPULAR, USERS, SIMILAR, BOOKS)
    }


def gap(cluster: RedisCluster, namespace: str, release: str, record: Mapping[str, Any]) -> Gap:
    """Count what a verified release lacks; `record` is its record in the release registry. Raises what Redis raises."""
    shape: Sequence[int] | None = record.get("shape")
    if shape is None:
        return Gap(values=None)
    by_kind = names(namespace, release, *shape)
    counts = _counts(cluster, by_kind)
    lost = {kind: sum(not count for count in counts[kind]) for kind in by_kind}
    found = {kind: sum(counts[kind]) for kind in by_kind}
    expected: Mapping[str, int] | None = record.get("totals")
    if expected is None:
        users = BUCKET_SIZE * (len(by_kind[USERS]) if lost[META] else lost[USERS])
        return Gap(keys=sum(lost.values()), values=None, users=users)
    missing = {kind: max(0, expected[kind] - found[kind]) for kind in by_kind}
    return Gap(
        keys=sum(lost.values()),
        values=sum(missing.values()),
        users=expected[USERS] if lost[META] else missing[USERS],
        surplus=any(found[kind] > expected[kind] for kind in by_kind),
    )


def _buckets(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{bucket}" for bucket in range(count)]


def _counts(cluster: RedisCluster, by_kind: Mapping[str, list[str]]) -> dict[str, list[int]]:
    commands = [
        ("EXISTS" if kind == META else "HLEN", name) for kind in by_kind for name in by_kind[kind]
    ]
    answers = _answers(cluster, commands)
    return {kind: list(islice(answers, len(by_kind[kind]))) for kind in by_kind}


def _answers(cluster: RedisCluster, commands: list[tuple[str, str]]) -> Iterator[int]:
    for start in range(0, len(commands), _PIPELINE):
        part = commands[start : start + _PIPELINE]
        for answer in together(cluster, part, raise_on_error=False):
            if isinstance(answer, Exception):
                # A key of another type holds nothing of a release.
                if "WRONGTYPE" not in str(answer):
                    raise answer
                yield 0
            else:
                yield int(answer)
