"""Loading a release's hashes into Redis, reading them back, removing them.

In: a connection and what Redis must hold. Out: keys in Redis, or the differences. Guarantees that nothing has an
expiry, that reading back asks primaries and compares every byte, and that removing touches one release only.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from redis.cluster import RedisCluster

from jobs.runtime.progress import progress
from jobs.store.encoding import Hash, Stored
from schemas import keys

#: Commands of one pipeline over all shards: 64 lists of 401 bytes each, about 1 MB a shard.
_PIPELINE = 100
_FIELDS_A_COMMAND = 64
_SCAN_COUNT = 1000

T = TypeVar("T")


def load(
    cluster: RedisCluster,
    namespace: str,
    what: Stored,
    *,
    rate: int,
    keep_going: Callable[[], None],
) -> None:
    """Write every hash and then the description; `rate` values a second at most, 0 for no limit.

    `keep_going` is called between pipelines and raises to stop. Raises what Redis raises.
    """
    started, done = time.monotonic(), 0
    fields_in_all = sum(len(fields) for fields in what.hashes.values())
    with progress(fields_in_all, "load", "value", scaled=True) as bar:
        for part in _parts(_commands(what.hashes)):
            keep_going()
            with cluster.pipeline(transaction=False) as pipeline:
                for key, fields in part:
                    pipeline.hset(key, mapping=fields)
                pipeline.execute()
            moved = sum(len(fields) for _, fields in part)
            done += moved
            bar.update(moved)
            if rate:
                time.sleep(max(0.0, started + done / rate - time.monotonic()))
    cluster.set(keys.meta(namespace, what.meta.release), what.meta.to_json())


def differences(cluster: RedisCluster, namespace: str, what: Stored) -> list[tuple[str, str]]:
    """Return (key, field) of everything in Redis that is not byte for byte what it must be."""
    wrong: list[tuple[str, str]] = []
    release = what.meta.release
    if cluster.get(keys.meta(namespace, release)) != what.meta.to_json().encode():
        wrong.append((keys.meta(namespace, release), ""))
    with progress(len(what.hashes), "read back", "hash") as bar:
        for part in _parts(what.hashes.items()):
            with cluster.pipeline(transaction=False) as pipeline:
                for key, _ in part:
                    pipeline.hgetall(key)
                answers = pipeline.execute()
            for (key, fields), found in zip(part, answers, strict=True):
                wrong.extend((key, field) for field in _different(fields, found))
            bar.update(len(part))
    return wrong


def remove(cluster: RedisCluster, namespace: str, release: str) -> int:
    """Remove every key of a release and return how many there were."""
    removed = 0
    pattern = f"{keys.release_prefix(namespace, release)}*"
    # SCAN asks every primary; a release has a few thousand keys, so this is quick.
    for part in _parts(cluster.scan_iter(match=pattern, count=_SCAN_COUNT)):
        with cluster.pipeline(transaction=False) as pipeline:
            for key in part:
                pipeline.unlink(key)
            removed += sum(pipeline.execute())
    return removed


def loaded_releases(cluster: RedisCluster, namespace: str) -> set[str]:
    """Return the releases of which any key is in Redis, whatever the catalog says."""
    prefix = f"{namespace}:"
    found = (
        key.decode().removeprefix(prefix).split(":", 1)
        for key in cluster.scan_iter(match=f"{prefix}*:*", count=_SCAN_COUNT)
    )
    return {parts[0] for parts in found if len(parts) > 1}


def _different(expected: Hash, found: dict[bytes, bytes]) -> list[str]:
    # One comparison for the common case: nothing differs.
    as_text = {field.decode(): value for field, value in found.items()}
    if as_text == expected:
        return []
    return sorted(
        field
        for field in expected.keys() | as_text.keys()
        if expected.get(field) != as_text.get(field)
    )


def _commands(hashes: dict[str, dict[str, bytes]]) -> Iterator[tuple[str, dict[str, bytes]]]:
    for key, fields in hashes.items():
        items = iter(fields.items())
        while some := dict(islice(items, _FIELDS_A_COMMAND)):
            yield key, some


def _parts(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, _PIPELINE)):
        yield part
