"""Redis of other kinds than the three lasting primaries: one that forgets, one alone, one without cluster mode."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.local import cluster
from schemas.environment import Node
from tests.cases.shop import BY, Shop, flush, in_batches, told, used_memory
from tests.conftest import free_ports, running_nodes
from tests.harness.waiting import until
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


def test_a_store_that_may_forget_is_not_loaded(forgetful: Shop) -> None:
    """`check-store` names both reasons with their figures, and `publish` refuses without a value written."""
    new = forgetful.write("2026-01-05", 5)
    check = forgetful.command("check-store")
    assert check.exit_code != 0
    for word in ("allkeys-lru", "maxmemory"):
        assert word in check.text, check.text
    said = forgetful.refused("publish", "--release", new)
    assert "allkeys-lru" in said.text, said.text
    assert forgetful.done("audit", "--all").outcome["differing"] == 0


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


def test_a_redis_without_cluster_mode_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command says that this is no cluster and how a cluster of one node is made."""
    (port,) = free_ports(1)
    command = [cluster.server_program(), "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            until(lambda: _answers(client), "the Redis answers", 60)
            shop = Shop((Node("127.0.0.1", port),), tmp_path, capsys, monkeypatch)
            one = shop.write("2026-01-01")
            for arguments in (
                ("publish", "--release", one),
                ("activate", "--release", one),
                ("restore",),
                ("check-store",),
                ("releases",),
            ):
                result = shop.command(*arguments)
                assert result.exit_code == 4, (arguments, result)
                assert "cluster-enabled yes" in result.text, result.text
            assert client.dbsize() == 0
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
