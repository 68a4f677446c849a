"""Leases and removals: a removal that was held up removes nothing of somebody else's."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local import cluster
from jobs.operations import audit
from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import TryLater
from jobs.runtime.settings import Settings
from jobs.store import changes, removal
from jobs.store.changes import Store
from jobs.store.lease import Lease
from schemas.environment import Node
from tests.conftest import free_ports
from tests.harness import store as outside
from tests.harness.releases import write_release


@pytest.fixture
def opened(settings: Settings, artifacts: Artifacts) -> Iterator[Store]:
    """An open store that belongs to this journal."""
    with changes.opened(artifacts, settings) as store:
        changes.require_own(store, begins=True)
        yield store


def _lease(store: Store, release: str, duration_s: int) -> Lease:
    lease = Lease(store.cluster, store.registry, release, duration_s)
    lease.begin()
    return lease


def test_a_removal_held_up_past_its_lease_removes_nothing(
    opened: Store, artifacts: Artifacts, settings: Settings
) -> None:
    """A remover is frozen; its lease runs out, the same release is published again and goes live; it wakes up."""
    folder = write_release(artifacts.root, "2026-01-01")
    publish.run(folder, settings)
    frozen = _lease(opened, folder.release, 0)
    taken = ("begin_retire", folder.release, 0, frozen.token, "me", frozen.duration_ms)
    assert opened.registry.change(*taken).ok
    publish.run(folder, settings)
    activate.run(artifacts, folder.release, settings)
    names = removal.key_names("shelf", folder.release, 1, 1)
    # It does not come to ask the catalog any more: its commands are on their way.
    frozen.duration_s = 10**6
    with pytest.raises(TryLater, match="delayed"):
        frozen.unlink(names)
    assert audit.run(artifacts, settings, sample=None).differing == 0


def test_a_command_that_arrives_late_removes_nothing(opened: Store, settings: Settings) -> None:
    """Each node compares its own clock with the moment it was given."""
    opened.cluster.hset("shelf:x:users:1", "1", "value")
    late, early = (
        _lease(opened, "2026-01-01-00000001", 0),
        _lease(opened, "2026-01-01-00000001", 60),
    )
    with pytest.raises(TryLater):
        late.unlink(["shelf:x:users:1"])
    assert outside.all_keys(settings) == {"shelf:catalog", "shelf:x:users:1"}
    assert early.unlink(["shelf:x:users:1", "shelf:x:users:2"]) == 1
    assert outside.all_keys(settings) == {"shelf:catalog"}


def test_a_removal_that_outlived_its_redis_removes_nothing(tmp_path: Path) -> None:
    """Redis comes back empty and forgets the lease; the release is loaded anew; the old remover's time is not over."""
    folder = write_release(tmp_path / "artifacts", "2026-01-01")
    ports = free_ports(3)
    nodes = tuple(Node(cluster.HOST, port) for port in ports)
    settings = Settings(artifacts=tmp_path / "artifacts", redis=nodes)
    processes: list[subprocess.Popen[bytes]] = []

    def start_anew() -> None:
        for process in processes:
            process.kill()
            process.wait(timeout=60)
        commands = [cluster.server_command(port, tmp_path / str(port)) for port in ports]
        processes[:] = [subprocess.Popen(c, stdout=subprocess.DEVNULL) for c in commands]
        cluster.form(ports)

    try:
        start_anew()
        with changes.opened(Artifacts(settings.artifacts), settings) as store:
            held_up = _lease(store, folder.release, 60)
            start_anew()
            publish.run(folder, settings)
            with pytest.raises(TryLater, match="delayed"):
                held_up.unlink(removal.key_names("shelf", folder.release, 1, 1))
        found = audit.run(store.artifacts, settings, release=folder.release, sample=None)
        assert found.differing == 0
    finally:
        for process in processes:
            process.kill()
            process.wait(timeout=60)


def test_an_overtaken_holder_learns_it_when_it_renews(
    opened: Store, artifacts: Artifacts, settings: Settings
) -> None:
    """A publisher whose release was taken over is told to stop at its next renewal."""
    folder = write_release(artifacts.root, "2026-01-01")
    publish.run(folder, settings)
    with pytest.raises(TryLater, match="taken over"):
        _lease(opened, folder.release, 0).renew()


def test_a_lease_is_renewed_when_a_third_is_over(opened: Store) -> None:
    """Before that nobody is asked: the catalog does not know this token and would refuse."""
    lease = _lease(opened, "2026-01-01-00000001", 60)
    lease.renew()
    lease.begun_at -= 21
    with pytest.raises(TryLater):
        lease.renew()


def test_removing_finds_every_key_by_name(
    opened: Store, artifacts: Artifacts, settings: Settings
) -> None:
    """The names follow from the record in the catalog; a release that is pointed to is not removed."""
    folder = write_release(artifacts.root, "2026-01-01", users=200, books=70)
    outcome = publish.run(folder, settings)
    assert len(removal.key_names("shelf", folder.release, 4, 2)) == outcome.keys == 2 + 4 + 2 + 2
    activate.run(artifacts, folder.release, settings)
    assert removal.remove(opened, folder.release) is None
    other = write_release(artifacts.root, "2026-01-02", users=200, books=70, variant=1)
    publish.run(other, settings)
    assert removal.remove(opened, other.release, grace_s=60) is None
    assert removal.remove(opened, other.release) == 10
    assert not [key for key in outside.all_keys(settings) if other.release in key]


def test_keys_of_a_release_that_nobody_knows_are_orphans(
    opened: Store, artifacts: Artifacts, settings: Settings
) -> None:
    """Only in this namespace, only below a release id, and not those of loaded releases."""
    folder = write_release(artifacts.root, "2026-01-01")
    publish.run(folder, settings)
    for key in (
        "shelf:2026-01-09-00000009:users:1",
        "other:2026-01-09-00000009:users:1",
        "shelf:x:y",
    ):
        opened.cluster.hset(key, "1", "value")
    found = removal.orphans(opened)
    assert found == {"2026-01-09-00000009": ["shelf:2026-01-09-00000009:users:1"]}
    another = replace(opened, settings=replace(settings, namespace="other"))
    assert removal.orphans(another) == {
        "2026-01-09-00000009": ["other:2026-01-09-00000009:users:1"]
    }
