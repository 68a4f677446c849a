"""Writing a release's hashes, reading them back, mending them, against a real Redis Cluster."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.cluster import RedisCluster

from jobs.release import manifest
from jobs.runtime.settings import Settings
from jobs.store import encoding, loading
from jobs.store.encoding import Stored
from jobs.store.loading import Difference
from tests.harness import store
from tests.harness.releases import write_release


@pytest.fixture
def cluster(settings: Settings) -> Iterator[RedisCluster]:
    """A connection to an empty cluster."""
    with store.connected(settings) as connection:
        yield connection


@pytest.fixture
def what(tmp_path: Path) -> Stored:
    """A release of 300 users: five buckets, 383 values."""
    folder = write_release(tmp_path, "2026-01-01", users=300)
    return encoding.stored(folder, "shelf", manifest.write(folder, "x"))


def go_on() -> None:
    """Nobody stops this load."""


def load(cluster: RedisCluster, what: Stored) -> None:
    """Load everything at full speed."""
    loading.load(cluster, what, rate=0, keep_going=go_on)


def test_what_is_loaded_is_read_back(
    cluster: RedisCluster, what: Stored, settings: Settings
) -> None:
    """Nothing differs, nothing expires, and there is no key besides."""
    load(cluster, what)
    assert loading.differences(cluster, what, keep_going=go_on) == []
    assert store.all_keys(settings) == {*what.hashes, what.meta_key}
    assert {cluster.ttl(key) for key in what.hashes} == {-1}


def test_an_empty_cluster_lacks_everything(cluster: RedisCluster, what: Stored) -> None:
    """Every field of every hash and the description are told."""
    found = loading.differences(cluster, what, keep_going=go_on)
    assert sum(len(difference.fields) for difference in found) == what.values + 1


def test_every_kind_of_damage_is_found_and_mended(cluster: RedisCluster, what: Stored) -> None:
    """A changed value, a lost field, a field too many, a lost hash, a key of another type, a lost description."""
    load(cluster, what)
    users = [key for key in sorted(what.hashes) if ":users:" in key]
    first = min(what.hashes[users[0]])
    cluster.hset(users[0], first, b"changed")
    lost = min(what.hashes[users[1]])
    cluster.hdel(users[1], lost)
    cluster.hset(users[2], "999999", b"too many")
    cluster.delete(users[3])
    cluster.set(users[4], "no hash")
    cluster.delete(what.meta_key)
    found = loading.differences(cluster, what, keep_going=go_on)
    assert {difference.key: difference for difference in found} == {
        users[0]: Difference(users[0], (first,)),
        users[1]: Difference(users[1], (lost,)),
        users[2]: Difference(users[2], (), (b"999999",)),
        users[3]: Difference(users[3], tuple(sorted(what.hashes[users[3]]))),
        users[4]: Difference(users[4], tuple(sorted(what.hashes[users[4]]))),
        what.meta_key: Difference(what.meta_key, (b"",)),
    }
    loading.repair(cluster, what, found)
    assert loading.differences(cluster, what, keep_going=go_on) == []


def test_a_description_of_another_type_is_mended(cluster: RedisCluster, what: Stored) -> None:
    """Also where a hash stands under the description's name."""
    load(cluster, what)
    cluster.delete(what.meta_key)
    cluster.hset(what.meta_key, "a", "b")
    found = loading.differences(cluster, what, keep_going=go_on)
    assert found == [Difference(what.meta_key, (b"",))]
    loading.repair(cluster, what, found)
    assert loading.differences(cluster, what, keep_going=go_on) == []


def test_a_rate_is_kept_and_the_load_is_even(
    cluster: RedisCluster, what: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """383 values at 100 a second take 3.83 s on a clock that only moves when the load sleeps, ten values at a time."""
    now = 0.0
    calls: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "sleep", sleep)
    loading.load(cluster, what, rate=100, keep_going=lambda: calls.append(now))
    assert what.values == 300 + 40 + 3 + 40
    assert now == pytest.approx(3.83)
    steps = [later - earlier for earlier, later in itertools.pairwise(calls)]
    assert max(steps) <= 0.1 + 1e-9


def test_a_slow_rate_still_asks_whether_to_go_on(
    cluster: RedisCluster, what: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One value in five seconds would outlast a lease if nobody were asked in between."""
    now = 0.0
    calls: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "sleep", sleep)
    small = replace(what, hashes={"shelf:x:users:0": {b"1": b"a", b"2": b"b"}})
    loading.load(cluster, small, rate=1, keep_going=lambda: calls.append(now))
    assert now == pytest.approx(2.0)
    assert calls == [0.0, 1.0, 1.0, 2.0, 2.0]


def test_whoever_is_told_to_stop_stops(
    cluster: RedisCluster, what: Stored, settings: Settings
) -> None:
    """An overtaken publisher writes nothing more, above all no description."""

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        loading.load(cluster, what, rate=0, keep_going=stop)
    assert store.all_keys(settings) == set()


def test_differences_are_told_in_words() -> None:
    """A few by name, the rest as a number."""
    many = [Difference("key", (b"1", b"2")), Difference("other", (b"",), (b"9",))]
    assert loading.as_text(many, shown=3) == "key 1, key 2, other and 1 more"
