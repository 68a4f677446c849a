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
from redis.crc import key_slot

from deploy.local import cluster
from jobs import activate, audit, list_releases, publish
from jobs.release.folder import Artifacts
from jobs.runtime.errors import TryLater
from jobs.runtime.settings import Settings
from jobs.store import cluster as store_cluster
from schemas.environment import Node
from tests import store
from tests.conftest import free_ports
from tests.releases import write_release

_DEADLINE_S = 60


@dataclass(frozen=True)
class Nodes:
    """Six nodes; the Redis replica of the primary at place p is at place p + 3."""

    ports: list[int]
    processes: list["subprocess.Popen[bytes]"]

    @property
    def catalog(self) -> int:
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
            process.wait(timeout=10)


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
    os.kill(nodes.processes[nodes.catalog + 3].pid, signal.SIGSTOP)
    moved = activate.run(artifacts, releases[1], settings)
    assert (moved.release, moved.confirmed_by_redis_replica) == (releases[1], False)
    for place in (nodes.catalog, nodes.catalog + 3):
        nodes.processes[place].kill()
        nodes.processes[place].wait(timeout=10)
    monkeypatch.setattr(store_cluster, "FAILOVER_S", 1.0)
    with pytest.raises(TryLater):
        activate.run(artifacts, releases[0], settings, force=True)


def test_a_primary_killed_during_a_load(nodes: Nodes, tmp_path: Path) -> None:
    """The live release stays; the publish ends well or in advice; the next one works once the cluster is whole."""
    settings = nodes.settings(tmp_path / "artifacts")
    artifacts = Artifacts(settings.artifacts)
    live = store.go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02", users=640, variant=1)
    victim = nodes.processes[nodes.catalog]
    killer = threading.Timer(0.5, victim.kill)
    killer.start()
    try:
        publish.run(folder, settings, rate=500)
    except TryLater as error:
        print(f"the publish ended with: {error}")
    killer.join()
    victim.wait(timeout=10)
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
    assert list_releases.run(artifacts, settings).live == live
    assert audit.run(artifacts, settings, sample=None).differing == 0
    activate.run(artifacts, folder.release, settings)
    found = audit.run(artifacts, settings, sample=None)
    assert (found.release, found.differing) == (folder.release, 0)
