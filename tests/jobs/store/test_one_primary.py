"""A Redis Cluster of one primary, which small shops have, and a Redis that is no cluster."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from deploy.local import cluster
from jobs.operations import audit, canary, releases, restore, rollback, why
from jobs.pipeline import publish, retire
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import BrokenInput, TryLater
from jobs.runtime.settings import Settings
from jobs.store.cluster import connected
from schemas.environment import Node
from tests.conftest import free_ports, running_cluster, running_nodes
from tests.harness import store
from tests.harness.releases import list_of, write_release
from tests.harness.waiting import until
from tests.serving.conftest import ending, is_ready, start_replica


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Settings]:
    """Settings for a cluster of one primary, of this test alone."""
    with running_cluster(tmp_path / "redis", free_ports(1)) as nodes:
        yield Settings(artifacts=tmp_path / "artifacts", redis=nodes, retire_grace_s=0)


def test_every_command_works_with_one_primary(lone: Settings) -> None:
    """A release's life from publish to retire, with a canary, a rollback and a restore of an emptied Redis."""
    artifacts = Artifacts(lone.artifacts)
    first = store.go_live(artifacts, lone, "2026-01-01")
    second = store.go_live(artifacts, lone, "2026-01-02", variant=1)
    third = write_release(lone.artifacts, "2026-01-03", variant=2)
    assert publish.run(third, lone).confirmed_by_redis_replicas is None
    canary.start(artifacts, lone, release=third.release, share=0.5, by="ada", reason="x")
    canary.promote(artifacts, lone, by="ada", reason="x")
    assert rollback.run(artifacts, lone, to=second, by="ada", reason="x").release == second
    store.wipe(lone)
    assert restore.run(artifacts, lone).release == second
    assert audit.run(artifacts, lone, sample=None).differing == 0
    assert why.run(artifacts, lone, 7).items[0]["book_id"] == list_of(7, variant=1)[0]
    with store.connected(lone) as client:
        client.set(f"shelf:{first}:users:0", "left behind")
    assert retire.run(lone).keys_removed == 1
    assert releases.run(artifacts, lone).live == second


def test_an_edge_replica_serves_from_one_primary(lone: Settings) -> None:
    """The lists are personal, and those of the next release after it went live."""
    store.go_live(Artifacts(lone.artifacts), lone, "2026-01-01")
    with ending(start_replica(lone.redis)) as replica:
        replica.wait_for(is_ready)
        store.go_live(Artifacts(lone.artifacts), lone, "2026-01-02", variant=1)

        def books() -> list[int]:
            answer = json.loads(replica.get("/v1/users/7/recommendations").body)
            assert answer["source"] == "als"
            return [item["book_id"] for item in answer["items"]]

        until(lambda: books() == list_of(7, variant=1), "the next release is not served")


@contextmanager
def _plain_redis(folder: Path) -> Iterator[Node]:
    (port,) = free_ports(1)
    command = [cluster.server_program(), "--port", str(port), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield Node(cluster.HOST, port)
        finally:
            process.terminate()


def _wait_for(node: Node) -> None:
    def answers() -> bool:
        try:
            with redis.Redis(host=node.host, port=node.port) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    until(answers, f"{node} does not answer")


def _refusal(node: Node) -> BrokenInput:
    with pytest.raises(BrokenInput) as caught, connected(Settings(redis=(node,))):
        pass
    return caught.value


def test_a_redis_without_cluster_mode_is_refused_with_the_way_to_one_node(tmp_path: Path) -> None:
    """The message has the commands, and the second one is right."""
    with _plain_redis(tmp_path) as node:
        _wait_for(node)
        told = _refusal(node)
        assert "does not run in cluster mode" in told.what
        assert f"redis-server --port {node.port} --cluster-enabled yes" in told.do
        assert f"redis-cli -h 127.0.0.1 -p {node.port} cluster addslotsrange 0 16383" in told.do


def test_a_node_without_slots_is_refused_and_what_the_message_says_helps(tmp_path: Path) -> None:
    """Its command, carried out as it stands, makes the cluster."""
    (port,) = free_ports(1)
    node = Node(cluster.HOST, port)
    with running_nodes(tmp_path, [port]):
        _wait_for(node)
        told = _refusal(node)
        assert "no node has hash slots" in told.what
        command = told.do.split("`")[1].removeprefix("redis-cli -h 127.0.0.1 -p ").split()
        assert command[0] == str(port)
        with redis.Redis(host=node.host, port=port) as client:
            client.execute_command(*command[1:])

        def usable() -> bool:
            try:
                with connected(Settings(redis=(node,))) as found:
                    return bool(found.set("key", "value"))
            except TryLater:
                # The node calls its state ok a moment later.
                return False

        until(usable, "the node is no cluster")
