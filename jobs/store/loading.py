"""A release's hashes written to Redis, read back, repaired.

In: a connection and what Redis must hold. Out: keys in Redis, or the differences. Guarantees that nothing has an
expiry, that reading back asks primaries, and that every byte is compared.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

from redis.cluster import RedisCluster

from jobs.runtime.progress import progress
from jobs.store.cluster import together
from jobs.store.encoding import Stored

#: Commands of one pipeline over all shards, each of up to 64 lists of 401 bytes. With three shards on this kind of
#: machine 75 to 150 load 245,000 lists a second, 50 do 230,000, 25 do 215,000 (medians of nine, turn by turn). The time
#: goes into redis-py on one core, packing foremost; the servers take half as much, and two threads gain nothing.
_PIPELINE = 100
_FIELDS_A_COMMAND = 64
#: With a rate limit a pipeline carries what may go in this time, so that the load is even.
_RATE_STEP_S = 0.1
_NAP_S = 1.0

T = TypeVar("T")


@dataclass(frozen=True)
class Difference:
    """What is wrong with one key: fields that are missing or hold something else, and fields too many."""

    key: str
    missing: tuple[bytes, ...]
    extra: tuple[bytes, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """All of these fields as text."""
        return tuple(name.decode(errors="replace") for name in (*self.missing, *self.extra))


def load(
    cluster: RedisCluster,
    what: Stored,
    *,
    rate: int,
    keep_going: Callable[[], None],
) -> None:
    """Write every hash and then the description; `rate` values a second at most, 0 for no limit.

    `keep_going` is called between pipelines, at least once a second, and raises to stop. Raises what Redis raises.
    """
    fields, commands = _FIELDS_A_COMMAND, _PIPELINE
    if rate:
        fields = max(1, min(_FIELDS_A_COMMAND, int(rate * _RATE_STEP_S)))
        commands = max(1, min(_PIPELINE, int(rate * _RATE_STEP_S) // fields))
    started, done = time.monotonic(), 0
    with progress(what.values, "load", "value", scaled=True) as bar:
        for part in _parts(_commands(what.hashes, fields), commands):
            keep_going()
            together(cluster, (("HSET", key, *items) for key, items in part))
            moved = sum(len(items) // 2 for _, items in part)
            done += moved
            bar.update(moved)
            if rate:
                _sleep_until(started + done / rate, keep_going)
    keep_going()
    together(cluster, [("SET", what.meta_key, what.meta.to_json())])


def differences(
    cluster: RedisCluster,
    what: Stored,
    *,
    keep_going: Callable[[], None],
    at_once: int | None = None,
) -> list[Difference]:
    """Return everything in Redis that is not byte for byte what it must be, reading so many hashes `at_once`."""
    wrong: list[Difference] = []
    (description,) = together(cluster, [("GET", what.meta_key)], raise_on_error=False)
    if isinstance(description, Exception):
        _require_wrong_type(description)
    if not what.meta.is_written_as(description):
        wrong.append(Difference(what.meta_key, (b"",)))
    with progress(len(what.hashes), "read back", "hash") as bar:
        for part in _parts(what.hashes.items(), at_once or _PIPELINE):
            keep_going()
            commands = (("HGETALL", key) for key, _ in part)
            answers = together(cluster, commands, raise_on_error=False)
            for (key, fields), answer in zip(part, answers, strict=True):
                found = _hash(answer)
                # One comparison for the common case: nothing differs.
                if found != fields:
                    wrong.append(_difference(key, fields, found))
            bar.update(len(part))
    return wrong


def repair(cluster: RedisCluster, what: Stored, wrong: list[Difference]) -> None:
    """Write again what `differences` found and remove what should not be there."""
    for part in _parts(
        (c for difference in wrong for c in _repairing(what, difference)), _PIPELINE
    ):
        together(cluster, part)


def _repairing(what: Stored, difference: Difference) -> Iterator[tuple[Any, ...]]:
    key, fields = difference.key, what.hashes.get(difference.key)
    if fields is None:
        yield ("SET", key, what.meta.to_json())
        return
    if len(difference.missing) == len(fields):
        yield ("UNLINK", key)  # it may be no hash at all
    for some in _parts(difference.missing, _FIELDS_A_COMMAND):
        yield ("HSET", key, *(part for name in some for part in (name, fields[name])))
    for some in _parts(difference.extra, _FIELDS_A_COMMAND):
        yield ("HDEL", key, *some)


def as_text(wrong: list[Difference], shown: int = 5) -> str:
    """Return a few of the differences in words."""
    names = [
        f"{difference.key} {field}".strip() for difference in wrong for field in difference.fields
    ]
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _hash(answer: Any) -> Mapping[bytes, bytes]:
    if isinstance(answer, Exception):
        _require_wrong_type(answer)
        return {}
    found: Mapping[bytes, bytes] = answer
    return found


def _require_wrong_type(error: Exception) -> None:
    """Return for a key of another type, which counts as absent; raise any other error."""
    if "WRONGTYPE" not in str(error):
        raise error


def _difference(
    key: str, expected: Mapping[bytes, bytes], found: Mapping[bytes, bytes]
) -> Difference:
    missing = sorted(name for name, value in expected.items() if found.get(name) != value)
    return Difference(key, tuple(missing), tuple(sorted(found.keys() - expected.keys())))


def _commands(
    hashes: Mapping[str, Mapping[bytes, bytes]], fields: int
) -> Iterator[tuple[str, list[bytes]]]:
    for key, content in hashes.items():
        for some in _parts(content.items(), fields):
            yield key, list(chain.from_iterable(some))


def _sleep_until(moment: float, keep_going: Callable[[], None]) -> None:
    while (left := moment - time.monotonic()) > 0:
        time.sleep(min(left, _NAP_S))
        keep_going()


def _parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
