"""How fast a release of full size gets into Redis, is read back, audited, restored and removed.

The floor is `redis-benchmark` in the same run: SETs of values of the same size, 100 in a pipeline, against one primary.
Interleaved, medians of five.
"""

import re
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import redis

from jobs.operations import audit, restore
from jobs.pipeline import activate, publish
from jobs.release import manifest
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.settings import Settings
from jobs.store import changes, encoding, loading, removal, totals
from jobs.store.changes import Store
from jobs.store.encoding import Stored
from schemas import keys
from schemas.environment import Node
from tests.benchmarks.conftest import Report
from tests.harness.releases import write_release

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

USERS, BOOKS, LENGTH = 53_424, 10_000, 100
VALUE_BYTES = 1 + LENGTH * (2 + 2)
ROUNDS = 5
FLOOR_REQUESTS = 200_000


def _empty(nodes: tuple[Node, ...]) -> None:
    for node in nodes:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ReleaseFolder:
    """A release of 53,424 users and 10,000 books with 100 books a list."""
    root = tmp_path_factory.mktemp("load")
    return write_release(root, "2026-01-01", users=USERS, books=BOOKS, length=LENGTH)


@pytest.fixture
def settings(redis_nodes: tuple[Node, ...], folder: ReleaseFolder) -> Settings:
    """Settings for the session's cluster, emptied, and the artifacts of the full release."""
    return Settings(artifacts=folder.root.parents[1], redis=redis_nodes, retire_grace_s=0)


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    with changes.opened(Artifacts(settings.artifacts), settings) as store:
        yield store


def _floor(node: Node) -> float:
    """Return the SETs a second that redis-benchmark reaches; the hash tag is one of this node's slots."""
    with redis.Redis(host=node.host, port=node.port) as client:
        tag = next(
            str(number) for number in range(10_000) if _slot_is_ours(client, f"{{{number}}}")
        )
    shown = subprocess.run(
        [
            *("redis-benchmark", "-h", node.host, "-p", str(node.port), "-P", "100", "-q"),
            *("-n", str(FLOOR_REQUESTS), "-r", str(USERS)),
            *("SET", f"{{{tag}}}:__rand_int__", "x" * VALUE_BYTES),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.findall(r"([\d.]+) requests per second", shown)
    assert found, shown
    return float(found[-1])


def _slot_is_ours(client: "redis.Redis", key: str) -> bool:
    try:
        client.exists(key)
    except redis.ResponseError:
        return False
    return True


def _load(store: Store, what: Stored) -> tuple[float, float]:
    begun = time.perf_counter()
    loading.load(store.cluster, what, rate=0, keep_going=lambda: None)
    loaded = time.perf_counter()
    assert loading.differences(store.cluster, what, keep_going=lambda: None) == []
    return loaded - begun, time.perf_counter() - loaded


def test_load_and_read_back(settings: Settings, folder: ReleaseFolder, report: Report) -> None:
    """Lists a second over all shards beside SETs a second on one; reading everything back beside loading it."""
    described = manifest.write(folder, "bench")
    begun = time.perf_counter()
    what = encoding.stored(folder, settings.namespace, described)
    encoded_s = time.perf_counter() - begun
    cards = keys.books_prefix(settings.namespace, folder.release)
    what = replace(what, hashes={k: v for k, v in what.hashes.items() if not k.startswith(cards)})
    floors, loads, read_backs = [], [], []
    for _ in range(ROUNDS):
        _empty(settings.redis)
        floors.append(_floor(settings.redis[0]))
        _empty(settings.redis)
        with _opened(settings) as store:
            load_s, read_back_s = _load(store, what)
        loads.append(what.lists / load_s)
        read_backs.append(read_back_s / load_s)
    ratio = statistics.median(a / b for a, b in zip(loads, floors, strict=True))
    report("load: redis-benchmark SET -P 100, one primary", statistics.median(floors), "sets/s")
    report("load: lists a second, all shards", statistics.median(loads), "lists/s")
    report("load: lists a second / SETs a second", ratio, "ratio", ">= 0.8")
    report("load: read-back of everything / load", statistics.median(read_backs), "ratio", "<= 2")
    report("load: encoding the parquet files", encoded_s, "s")


def test_publish_audit_restore(settings: Settings, folder: ReleaseFolder, report: Report) -> None:
    """Seconds of a whole publish, of an audit of everything, and from a wiped cluster to live and previous again."""
    artifacts = Artifacts(settings.artifacts)
    second = write_release(
        settings.artifacts, "2026-01-02", users=USERS, books=BOOKS, length=LENGTH, variant=1
    )
    third = write_release(settings.artifacts, "2026-01-03", users=USERS, books=BOOKS, length=LENGTH)
    for each in (folder, second):
        begun = time.perf_counter()
        publish.run(each, settings)
        report(f"publish {each.release}", time.perf_counter() - begun, "s")
        activate.run(artifacts, each.release, settings)
    begun = time.perf_counter()
    assert audit.run(artifacts, settings, sample=None).differing == 0
    report("audit --all", time.perf_counter() - begun, "s")
    with _opened(settings) as store:
        record = store.registry.read().releases[second.release]
        begun = time.perf_counter()
        assert totals.gap(store.cluster, "shelf", second.release, record).complete
        report("count before the pointer moves", time.perf_counter() - begun, "s", "< 0.3")
    _empty(settings.redis)
    begun = time.perf_counter()
    outcome = restore.run(artifacts, settings)
    report(
        "restore of live and previous, 53,424 users each", time.perf_counter() - begun, "s", "< 10"
    )
    assert (outcome.release, outcome.previous) == (second.release, folder.release)
    publish.run(third, settings)
    with _opened(settings) as store:
        removed = len(store.cluster.keys(f"*{third.release}*", target_nodes="primaries"))
        begun = time.perf_counter()
        assert removal.remove(store, third.release) == removed
        report("removing one release", time.perf_counter() - begun, "s")
