"""Every node that an edge replica was told of is replaced, one after another, while it runs."""

from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import redis
from redis.exceptions import RedisError

from deploy.local import cluster
from schemas.environment import Node
from tests.cases.shop import Shop, in_batches, told
from tests.conftest import free_ports, running_nodes
from tests.harness.waiting import until
from tests.serving.conftest import ending, start_replica

_PATIENCE_S = 60


def _ask(node: Node, *command: str | int) -> object:
    with redis.Redis(host=node.host, port=node.port, decode_responses=True) as client:
        return client.execute_command(*command)


def _is_primary(node: Node) -> bool:
    with redis.Redis(host=node.host, port=node.port, decode_responses=True) as client:
        return str(client.info("replication")["role"]) == "master"


def test_an_edge_replica_outlives_the_one_address_that_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """3,000 users get lists of their own again after its node has gone, and after each of the two others."""
    ports = free_ports(6)
    nodes = [Node(cluster.HOST, port) for port in ports]
    with running_nodes(tmp_path / "redis", ports) as processes:
        cluster.form(ports, redis_replicas=1)
        shop = Shop(tuple(nodes), tmp_path, capsys, monkeypatch, users=3000)
        release = shop.write("2026-01-01")
        shop.done("publish", "--release", release)
        shop.done("activate", "--release", release)
        with ending(start_replica((nodes[0],))) as replica:
            everybody = range(1, shop.users + 1)
            assert told(in_batches(replica, everybody)) == {(release, "als", None)}
            for place in range(3):
                old, new = nodes[place], nodes[place + 3]
                name = str(_ask(old, "CLUSTER", "MYID"))
                _ask(new, "CLUSTER", "FAILOVER")
                until(partial(_is_primary, new), f"{new} has taken over", _PATIENCE_S)
                processes[place].terminate()
                processes[place].wait(timeout=60)
                for node in nodes[place + 1 :]:
                    _forget(node, name)
                # 5 s by the goal, which the fault campaign holds; here the machine may be busy.
                replica.wait_for(
                    lambda running: told(in_batches(running, everybody)) == {(release, "als", None)}
                )


def _forget(node: Node, name: str) -> None:
    # A Redis replica forgets its primary only once it follows another.
    with suppress(RedisError):
        _ask(node, "CLUSTER", "FORGET", name)
