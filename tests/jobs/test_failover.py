"""Publishing and activating while primaries die: three primaries with a Redis replica each, on real processes."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.cluster import RedisCluster
from redis.crc import key_slot

from deploy.local import cluster
from jobs.operations import audit, releases
from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import TryLater
from jobs.runtime.settings import Settings
from jobs.store import cluster as store_cluster
from jobs.store import read_back
from schemas import keys
from schemas.environment import Node
from tests.conftest import free_ports
from tests.harness import store
from tests.harness.releases import write_release
from tests.harness.waiting import until

_DEADLINE_S = 60


@dataclass(frozen=True)
class Nodes:
    """Six nodes; the Redis replica of the primary at place p is at place p + 3."""

    ports: list[int]
    processes: list["subprocess.Popen[bytes]"]

    @property
    def registry(self) -> int:
        """The place of the primary that has the catalog."""
        return key_slot(store.CATALOG.encode()) * 3 // 16_384

    def settings(self, artifacts: Path) -> Settings:
        """Settings that name all nodes."""
        nodes = tuple(Node(cluster.HOST, port) for port in self.ports)
        return Settings(artifacts=artifacts, redis=nodes, retire_grace_s=0)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """A cluster of this test alone."""
    ports = free_ports(6)
    processes = [
        subprocess.Popen(
            cluster.server_command(port, tmp_path / str(port)), stdout=subprocess.DEVNULL
        )
        for port in ports
    ]
    try:
        cluster.form(ports, redis_replicas=1)
        yield Nodes(ports, processes)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(timeout=60)


def test_redis_replicas_that_do_not_confirm_and_primaries_that_are_gone(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen Redis replica is reported, the change took place; with primary and replica killed there is advice."""
    settings = nodes.settings(tmp_path / "artifacts")
    artifacts = Artifacts(settings.artifacts)
    releases = [
        write_release(artifacts.root, f"2026-01-0{day}", variant=day).release for day in (1, 2)
    ]
    for release in releases:
        outcome = publish.run(artifacts.release(release), settings)
        assert outcome.confirmed_by_redis_replicas is True
    assert activate.run(artifacts, releases[0], settings).confirmed_by_redis_replica is True
    os.kill(nodes.processes[nodes.registry + 3].pid, signal.SIGSTOP)
    moved = activate.run(artifacts, releases[1], settings)
    assert (moved.release, moved.confirmed_by_redis_replica) == (releases[1], False)
    for place in (nodes.registry, nodes.registry + 3):
        nodes.processes[place].kill()
        nodes.processes[place].wait(timeout=60)
    monkeypatch.setattr(store_cluster, "FAILOVER_S", 1.0)
    with pytest.raises(TryLater):
        activate.run(artifacts, releases[0], settings, force=True)


def test_what_a_failover_takes_after_the_read_back_is_written_anew(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release is verified only when Redis replicas have what was read; a lost hash is found and written again."""
    settings = nodes.settings(tmp_path / "artifacts")
    folder = write_release(settings.artifacts, "2026-01-01")
    asked: list[bool | None] = []

    def lossy(cluster: RedisCluster) -> bool | None:
        """Lose a hash and say that nobody confirms, as a primary that was cut off; then tell the truth."""
        if not asked:
            asked.append(False)
            assert cluster.unlink(keys.popular(settings.namespace, folder.release)) == 1
        else:
            asked.append(store_cluster.all_confirmed(cluster))
        return asked[-1]

    monkeypatch.setattr(read_back, "all_confirmed", lossy)
    outcome = publish.run(folder, settings)
    assert (outcome.rewritten, outcome.confirmed_by_redis_replicas) == (1, True)
    assert asked[0] is False
    assert asked[-1] is True
    artifacts = Artifacts(settings.artifacts)
    activate.run(artifacts, folder.release, settings)
    assert audit.run(artifacts, settings, sample=None).differing == 0


def test_a_publish_waits_until_a_hung_redis_replica_is_given_up(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it counts nothing is verified; once the cluster calls it failed the others' word is enough."""
    settings = nodes.settings(tmp_path / "artifacts")
    folder = write_release(settings.artifacts, "2026-01-01", users=640)  # keys on every shard
    _set_node_timeout(nodes, 600_000)
    os.kill(nodes.processes[3].pid, signal.SIGSTOP)
    monkeypatch.setattr(read_back, "FAILOVER_S", 0.0)
    with pytest.raises(TryLater, match="no Redis replica had all"):
        publish.run(folder, settings)
    loaded = releases.run(Artifacts(settings.artifacts), settings).loaded
    assert loaded[folder.release] != "verified"
    _set_node_timeout(nodes, cluster.NODE_TIMEOUT_MS)
    monkeypatch.setattr(read_back, "FAILOVER_S", float(_DEADLINE_S))
    assert publish.run(folder, settings).confirmed_by_redis_replicas is True


def test_a_redis_replica_counts_before_the_cluster_knows_whose_it_is(
    nodes: Nodes, tmp_path: Path
) -> None:
    """One that is linked, hangs and is in no node's table: not the same as none; once it is gone, there is none."""
    (port,) = free_ports(1)
    for place in (3, 4, 5):
        nodes.processes[place].kill()
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    with store_cluster.connected(nodes.settings(tmp_path)) as connected:
        until(lambda: store_cluster.all_confirmed(connected, 1) is None, "all are called failed")
        stranger = subprocess.Popen(
            [*command, "--replicaof", cluster.HOST, str(nodes.ports[0])], stdout=subprocess.DEVNULL
        )
        try:
            until(lambda: store_cluster.all_confirmed(connected), "it is linked")
            stranger.send_signal(signal.SIGSTOP)
            connected.set(f"{{{_tag_of_the_first_shard()}}}", "1")
            assert store_cluster.all_confirmed(connected, 100) is False
        finally:
            stranger.kill()
            stranger.wait(timeout=60)
        until(lambda: store_cluster.all_confirmed(connected, 1) is None, "it is gone")


def _tag_of_the_first_shard() -> str:
    return next(tag for tag in map(str, range(99)) if key_slot(tag.encode()) < 16_384 // 3)


def _set_node_timeout(nodes: Nodes, milliseconds: int) -> None:
    """Tell the primaries after how long another node counts as failed."""
    for port in nodes.ports[:3]:
        with redis.Redis(host=cluster.HOST, port=port) as client:
            client.config_set("cluster-node-timeout", milliseconds)


def test_a_primary_killed_during_a_load(nodes: Nodes, tmp_path: Path) -> None:
    """The live release stays; the publish ends well or in advice; the next one works once the cluster is whole."""
    settings = nodes.settings(tmp_path / "artifacts")
    artifacts = Artifacts(settings.artifacts)
    live = store.go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02", users=640, variant=1)
    victim = nodes.processes[nodes.registry]
    killer = threading.Timer(0.5, victim.kill)
    killer.start()
    try:
        publish.run(folder, settings, rate=500)
    except TryLater as error:
        print(f"the publish ended with: {error}")
    killer.join()
    victim.wait(timeout=60)
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        try:
            publish.run(folder, settings)
            break
        except TryLater as error:
            # Its lease may still run, or the failover is not over.
            if time.monotonic() > deadline:
                raise
            print(error)
            time.sleep(0.2)
    assert releases.run(artifacts, settings).live == live
    assert audit.run(artifacts, settings, sample=None).differing == 0
    activate.run(artifacts, folder.release, settings)
    found = audit.run(artifacts, settings, sample=None)
    assert (found.release, found.differing) == (folder.release, 0)
