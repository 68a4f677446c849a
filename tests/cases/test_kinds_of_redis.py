"""Redis of other kinds than the three lasting primaries: one that forgets, one alone, one without cluster mode."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.local import cluster
from schemas.environment import Node
from tests.cases.shop import BY, Shop, flush, in_batches, told, used_memory
from tests.conftest import free_ports, running_nodes
from tests.serving.conftest import ending, start_replica

_ROOM = 100_000


@pytest.fixture
def forgetful(
    redis_nodes: tuple[Node, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shop]:
    """A shop whose Redis evicts by age of use and lacks 350 kB a node for one more release, which takes 450."""
    shop = Shop(redis_nodes, tmp_path, capsys, monkeypatch, users=3000, length=100)
    shop.open()
    try:
        for node in shop.nodes:
            with redis.Redis(host=node.host, port=node.port) as client:
                client.config_set("maxmemory", used_memory(node) + _ROOM)
        shop.configure(maxmemory_policy="allkeys-lru")
        yield shop
    finally:
        shop.configure(maxmemory=0, maxmemory_policy="noeviction")


def test_restore_makes_the_live_release_complete_first(forgetful: Shop) -> None:
    """Whatever room there is: after a flush, a restore and a rollback the live release has every value."""
    flush(forgetful.others()[0])
    for command in (("restore",), ("activate", "--release", forgetful.days[3]), ("rollback", *BY)):
        forgetful.command(*command)
        audit = forgetful.done("audit", "--all").outcome
        assert (audit["release"], audit["differing"]) == (forgetful.live(), 0)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Node]:
    """A Redis Cluster of one primary."""
    (port,) = free_ports(1)
    with running_nodes(tmp_path / "redis", [port]):
        cluster.form([port])
        yield Node(cluster.HOST, port)


def test_a_cluster_of_one_primary_works(
    alone: Node,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Publish, activate, roll back, lose everything, restore; an edge replica gives every user a list of their own."""
    shop = Shop((alone,), tmp_path, capsys, monkeypatch)
    shop.open()
    with ending(start_replica(shop.nodes)) as replica:
        everybody = range(1, shop.users + 1)
        assert told(in_batches(replica, everybody)) == {(shop.days[3], "als", None)}
        shop.done("rollback", *BY)
        flush(alone)
        assert shop.done("restore").outcome["release"] == shop.days[2]
        replica.wait_for(
            lambda running: told(in_batches(running, [1])) == {(shop.days[2], "als", None)}
        )
        assert told(in_batches(replica, everybody)) == {(shop.days[2], "als", None)}
