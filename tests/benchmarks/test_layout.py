"""How lists are laid out in Redis: bytes a user and lookups a second of each layout that was considered.

53,424 users with 100 random books of 10,000 each, as ids alone and with scores. A layout is text (JSON) or packed
numbers, in a string a user or in hashes of 32, 64 or 128 users, these with Redis's default settings or with limits that
keep such hashes in a listpack. Bytes are the growth of `used_memory` over all primaries. A lookup fetches a random
user's list and decodes its first ten books; single, and 100 in a pipeline, by the same client, interleaved, medians
of 25 rounds.

What was decided by it: packed numbers in hashes of 64 (jobs/store/encoding.py), default settings.
"""

import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import redis
from redis.cluster import ClusterNode, RedisCluster

from schemas import keys, values
from schemas.environment import Node
from tests.benchmarks.conftest import Report
from tests.harness.store import used_memory

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

USERS, BOOKS, LENGTH, SHOWN = 53_424, 10_000, 100, 10
#: Many short rounds: other work on the machine then hits all layouts alike.
ROUNDS, SINGLE, PIPELINED, IN_A_PIPELINE = 25, 400, 4_000, 100
WRITES_AT_ONCE = 3_200

List = tuple[list[int], list[float]]
Codec = tuple[Callable[[List], bytes], Callable[[bytes], Any]]


@dataclass(frozen=True)
class Layout:
    """One way to store lists; `bucket` is the number of users in a hash, None for a string a user."""

    name: str
    text: bool
    bucket: int | None
    listpack: bool = False


LAYOUTS = (
    Layout("text, string", text=True, bucket=None),
    Layout("packed, string", text=False, bucket=None),
    Layout("text, hashes of 64", text=True, bucket=64),
    Layout("packed, hashes of 32", text=False, bucket=32),
    Layout("packed, hashes of 64", text=False, bucket=64),
    Layout("packed, hashes of 128", text=False, bucket=128),
    Layout("text, hashes of 64, listpack", text=True, bucket=64, listpack=True),
    Layout("packed, hashes of 32, listpack", text=False, bucket=32, listpack=True),
    Layout("packed, hashes of 64, listpack", text=False, bucket=64, listpack=True),
    Layout("packed, hashes of 128, listpack", text=False, bucket=128, listpack=True),
)
DECIDED = "packed, hashes of 64"
GOALS = {False: 300, True: 600}


def _codec(*, text: bool, scored: bool) -> Codec:
    if text:
        return (
            lambda one: json.dumps(
                {
                    "ids": one[0],
                    **({"scores": [float(f"{s:.4g}") for s in one[1]]} if scored else {}),
                },
                separators=(",", ":"),
            ).encode(),
            lambda value: json.loads(value)["ids"][:SHOWN],
        )
    if scored:
        return (
            lambda one: values.pack(values.KIND_ALS, one[0], one[1], 2),
            lambda value: values.unpack(value, SHOWN, 2),
        )
    return (
        lambda one: np.array(one[0], "<u2").tobytes(),
        lambda value: np.frombuffer(value, "<u2", SHOWN).tolist(),
    )


def _place(layout: Layout, user: int) -> tuple[str, str | None]:
    # As long as a real prefix: `shelf:2026-11-24-0a1b2c3d:users:`.
    prefix = f"shelf:2026-11-24-layout{LAYOUTS.index(layout):02}:users:"
    if layout.bucket is None:
        return f"{prefix}{user}", None
    return f"{prefix}{keys.bucket(user, -(-USERS // layout.bucket))}", str(user)


def _write(cluster: RedisCluster, layout: Layout, stored: dict[int, bytes]) -> None:
    by_key: dict[str, list[Any]] = {}
    for user, value in stored.items():
        key, field = _place(layout, user)
        by_key.setdefault(key, []).extend([value] if field is None else [field, value])
    command, pending = ("SET" if layout.bucket is None else "HSET"), list(by_key.items())
    step = max(1, WRITES_AT_ONCE // (layout.bucket or 1))
    for start in range(0, len(pending), step):
        with cluster.pipeline(transaction=False) as pipeline:
            for key, parts in pending[start : start + step]:
                pipeline.execute_command(command, key, *parts)
            pipeline.execute()


def _ask(client: Any, layout: Layout, user: int) -> Any:
    key, field = _place(layout, user)
    return client.get(key) if field is None else client.hget(key, field)


def _single(cluster: RedisCluster, layout: Layout, decode: Callable[[bytes], Any]) -> float:
    chosen = random.choices(range(1, USERS + 1), k=SINGLE)
    begun = time.perf_counter()
    for user in chosen:
        decode(_ask(cluster, layout, user))
    return SINGLE / (time.perf_counter() - begun)


def _pipelined(cluster: RedisCluster, layout: Layout, decode: Callable[[bytes], Any]) -> float:
    chosen = random.choices(range(1, USERS + 1), k=PIPELINED)
    begun = time.perf_counter()
    for start in range(0, PIPELINED, IN_A_PIPELINE):
        with cluster.pipeline(transaction=False) as pipeline:
            for user in chosen[start : start + IN_A_PIPELINE]:
                _ask(pipeline, layout, user)
            for value in pipeline.execute():
                decode(value)
    return PIPELINED / (time.perf_counter() - begun)


@pytest.fixture(scope="module")
def lists() -> dict[int, List]:
    """A list for each user: different random books, scores that fall."""
    generator = np.random.default_rng(1)
    found = {}
    for user in range(1, USERS + 1):
        ids = generator.choice(BOOKS, LENGTH, replace=False) + 1
        scores = np.sort(generator.random(LENGTH).astype(np.float16))[::-1]
        found[user] = (ids.tolist(), scores.astype(float).tolist())
    return found


@pytest.fixture
def nodes(redis_nodes: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
    """The session's cluster, empty; its settings for small hashes as before afterwards."""
    with redis.Redis(host=redis_nodes[0].host, port=redis_nodes[0].port) as client:
        before = client.config_get("hash-max-ziplist-*")
    yield redis_nodes
    _configure(redis_nodes, before)


def _configure(nodes: tuple[Node, ...], settings: dict[str, Any]) -> None:
    for node in nodes:
        with redis.Redis(host=node.host, port=node.port) as client:
            for name, value in settings.items():
                client.config_set(name, value)


@pytest.mark.parametrize("scored", [False, True], ids=["ids", "with scores"])
def test_layouts(
    nodes: tuple[Node, ...], lists: dict[int, List], report: Report, *, scored: bool
) -> None:
    """Bytes a user and lookups a second of every layout, side by side in one cluster."""
    found: dict[str, dict[str, list[float]]] = {}
    with RedisCluster(startup_nodes=[ClusterNode(n.host, n.port) for n in nodes]) as cluster:
        for layout in LAYOUTS:
            encode, _ = _codec(text=layout.text, scored=scored)
            stored = {user: encode(one) for user, one in lists.items()}
            limit = 2048 if layout.listpack else 64
            _configure(nodes, {"hash-max-ziplist-entries": 512, "hash-max-ziplist-value": limit})
            before = used_memory(nodes)
            _write(cluster, layout, stored)
            found[layout.name] = {
                "bytes": [(used_memory(nodes) - before) / USERS],
                "single": [],
                "pipelined": [],
            }
            assert _ask(cluster, layout, 17) == stored[17]
        for _ in range(ROUNDS):
            for layout in LAYOUTS:
                _, decode = _codec(text=layout.text, scored=scored)
                found[layout.name]["single"].append(_single(cluster, layout, decode))
                found[layout.name]["pipelined"].append(_pipelined(cluster, layout, decode))
    what = "ids and scores" if scored else "ids"
    base = found[LAYOUTS[0].name]
    for layout in LAYOUTS:
        figures = found[layout.name]
        goal = f"<= {GOALS[scored]}" if layout.name == DECIDED else ""
        report(f"{what}: {layout.name}: bytes", figures["bytes"][0], "bytes/user", goal)
        for way in ("single", "pipelined"):
            ratio = statistics.median(
                mine / theirs for mine, theirs in zip(figures[way], base[way], strict=True)
            )
            report(f"{what}: {layout.name}: {way}", statistics.median(figures[way]), "lookups/s")
            report(f"{what}: {layout.name}: {way} / {LAYOUTS[0].name}", ratio, "ratio")
