"""A Redis that may forget: found by INFO, told with figures, and never given what would push lists out."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from deploy.local import cluster
from jobs.operations import audit, check_store, releases, restore
from jobs.pipeline import activate, publish
from jobs.release import manifest
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.errors import BrokenInput
from jobs.runtime.settings import Settings
from jobs.store import encoding, soundness
from jobs.store.soundness import Primary
from schemas.environment import Node
from tests.conftest import free_ports, running_nodes
from tests.harness import store
from tests.harness.releases import write_release

USERS = 600
KB = 1024


@pytest.fixture
def evicting(settings: Settings) -> Iterator[Settings]:
    """A cluster that throws out any key when it is full; no limit is set yet."""
    store.configure(settings, "maxmemory-policy", "allkeys-lru")
    yield settings
    store.configure(settings, "maxmemory", 0)
    store.configure(settings, "maxmemory-policy", "noeviction")


def go_live(artifacts: Artifacts, settings: Settings, day: int) -> str:
    """Publish and activate lists of 100 books."""
    folder = _written(artifacts, day)
    publish.run(folder, settings)
    activate.run(artifacts, folder.release, settings)
    return folder.release


def _written(artifacts: Artifacts, day: int) -> ReleaseFolder:
    return write_release(
        artifacts.root, f"2026-01-0{day}", variant=day, users=USERS, books=200, length=100
    )


def limit(settings: Settings, more: int) -> None:
    """Let each node have so many bytes more than it uses."""
    for node in settings.redis:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + more)


def evicted(settings: Settings) -> int:
    """Return how many keys were thrown out since the servers started."""
    total = 0
    for node in settings.redis:
        with redis.Redis(host=node.host, port=node.port) as client:
            total += int(client.info("stats")["evicted_keys"])
    return total


def test_what_a_release_takes_is_estimated_from_its_values(
    artifacts: Artifacts, settings: Settings
) -> None:
    """As MEMORY USAGE of every key adds up to, within a quarter."""
    folder = _written(artifacts, 1)
    publish.run(folder, settings)
    what = encoding.stored(folder, "shelf", manifest.read(folder))
    with store.connected(settings) as client:
        estimated = sum(soundness.needed(client, what).values())
        real = sum(int(client.memory_usage(key, samples=0) or 0) for key in what.hashes)
    assert estimated == pytest.approx(real, rel=0.25)


def test_publish_refuses_what_would_push_lists_out(
    artifacts: Artifacts, evicting: Settings
) -> None:
    """Nothing is written; the message has the figures and what to do; the flag allows it."""
    live = go_live(artifacts, evicting, 1)
    folder = _written(artifacts, 2)
    limit(evicting, 350 * KB)
    before, lost = store.fields(evicting), evicted(evicting)
    with pytest.raises(BrokenInput, match="push other lists out of Redis") as caught:
        publish.run(folder, evicting)
    assert "allkeys-lru" in caught.value.what
    assert "noeviction" in caught.value.do
    assert store.fields(evicting) == before
    assert evicted(evicting) == lost
    assert releases.run(artifacts, evicting).missing[live]["values"] == 0
    limit(evicting, 4096 * KB)
    roomy = publish.run(folder, evicting)
    assert any("maxmemory-policy is allkeys-lru" in warning for warning in roomy.warnings)
    third = _written(artifacts, 3)
    limit(evicting, 600 * KB)
    assert publish.run(third, evicting, unsafe_store_ok=True).release == third.release


def test_restore_completes_the_live_release_and_leaves_what_has_no_room(
    artifacts: Artifacts, evicting: Settings
) -> None:
    """Both have lost hashes; the live one gets them back, the previous one is named and the live one loses nothing."""
    previous = go_live(artifacts, evicting, 1)
    live = go_live(artifacts, evicting, 2)
    with store.connected(evicting) as client:
        for release in (previous, live):
            for bucket in range(3):
                client.delete(f"shelf:{release}:users:{bucket}")
    limit(evicting, 400 * KB)
    with pytest.raises(BrokenInput, match=f"{live} is whole, the previous one is not"):
        restore.run(artifacts, evicting)
    missing = releases.run(artifacts, evicting).missing
    assert (missing[live]["values"], missing[previous]["keys"]) == (0, 3)
    assert audit.run(artifacts, evicting, sample=None).differing == 0


def test_check_store_of_a_sound_store(artifacts: Artifacts, settings: Settings) -> None:
    """Nothing found; how much one more release takes is known from the live one, and near what it takes itself."""
    assert check_store.run(artifacts, settings).more_bytes == {}
    release = go_live(artifacts, settings, 1)
    found = check_store.run(artifacts, settings)
    assert (found.sound, found.loses_data, found.findings) == (True, False, [])
    exact = check_store.run(artifacts, settings, release=release).more_bytes
    assert sum(found.more_bytes.values()) == pytest.approx(sum(exact.values()), abs=len(exact))
    assert found.more_bytes.keys() == exact.keys()


def test_check_store_says_what_may_be_lost(artifacts: Artifacts, evicting: Settings) -> None:
    """A policy is found without a limit; with a low one a load would lose lists, not where only expiring keys go."""
    go_live(artifacts, evicting, 1)
    found = check_store.run(artifacts, evicting)
    assert [f.code for f in found.findings] == ["eviction"]
    assert not found.loses_data
    limit(evicting, 350 * KB)
    found = check_store.run(artifacts, evicting)
    assert [f.code for f in found.findings] == ["eviction", "memory"]
    assert found.loses_data
    # Keys that expire are none of ours: such a policy refuses writes, as noeviction does.
    store.configure(evicting, "maxmemory-policy", "volatile-lru")
    found = check_store.run(artifacts, evicting)
    assert [(f.code, f.loses_data) for f in found.findings] == [("memory", False)]


@pytest.mark.parametrize(
    ("before", "now", "codes"), [(3, 2, ["redis_replicas"]), (2, 3, []), (None, 0, [])]
)
def test_fewer_redis_replicas_than_before_are_told(
    before: int | None, now: int, codes: list[str]
) -> None:
    """Both figures stand in the message; more of them, or none ever counted, is fine."""
    primary = Primary("a:1", "noeviction", 0, 0, now)
    found = soundness.findings([primary], {}, before)
    assert [finding.code for finding in found] == codes
    assert all(f"{now} Redis replicas" in f.what and f"{before} were" in f.what for f in found)


def test_a_redis_replica_that_is_gone_is_noticed(tmp_path: Path) -> None:
    """It is counted when a release is verified; publish warns when it is away."""
    ports = free_ports(2)
    with running_nodes(tmp_path, ports) as processes:
        cluster.form(ports, redis_replicas=1)
        nodes = tuple(Node(cluster.HOST, port) for port in ports)
        settings = Settings(artifacts=tmp_path / "artifacts", redis=nodes, retire_grace_s=0)
        artifacts = Artifacts(settings.artifacts)
        go_live(artifacts, settings, 1)
        assert check_store.run(artifacts, settings).redis_replicas_before == 1
        assert check_store.run(artifacts, settings).sound
        _end(processes[1])
        found = check_store.run(artifacts, replace(settings, redis=nodes[:1]))
        assert [f.code for f in found.findings] == ["redis_replicas"]


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(timeout=60)
