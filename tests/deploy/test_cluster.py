"""The Redis Cluster of the local stack and of the tests."""

import subprocess
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot

from deploy.local import cluster
from schemas.environment import Node
from tests.conftest import free_ports, running_nodes
from tests.harness.waiting import until


def test_a_formed_cluster_covers_all_slots(redis_nodes: tuple[Node, ...]) -> None:
    """Every node of a formed cluster reports all 16,384 slots as served."""
    for node in redis_nodes:
        with redis.Redis(host=node.host, port=node.port, decode_responses=True) as client:
            assert cluster._info(client)["cluster_slots_ok"] == "16384"


def test_forming_twice_changes_nothing(redis_nodes: tuple[Node, ...]) -> None:
    """A second `form` of the same nodes leaves their epochs as they are."""
    ports = [node.port for node in redis_nodes]
    with redis.Redis(port=ports[0], decode_responses=True) as client:
        before = cluster._info(client)["cluster_current_epoch"]
        cluster.form(ports)
        assert cluster._info(client)["cluster_current_epoch"] == before


def test_forming_goes_on_where_it_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that met too slowly for a first `form` become a whole cluster by the second one."""
    ports = free_ports(4)
    with running_nodes(tmp_path, ports):
        _wait_for_answers(ports)
        monkeypatch.setattr(cluster, "_DEADLINE_S", 0.0)
        with pytest.raises(cluster.ClusterProblem, match="does not know 4 nodes"):
            cluster.form(ports, redis_replicas=1)
        monkeypatch.setattr(cluster, "_DEADLINE_S", 30.0)
        cluster.form(ports, redis_replicas=1)
        for port, role in zip(ports, ("master", "master", "slave", "slave"), strict=True):
            with redis.Redis(port=port, decode_responses=True) as client:
                assert cluster._info(client)["cluster_slots_ok"] == "16384"
                assert client.info("replication")["role"] == role


def test_forming_begins_with_what_one_node_was_told(tmp_path: Path) -> None:
    """A node that has its epoch and its slots from a broken-off try, and one that has met another, are joined too."""
    ports = free_ports(3)
    with running_nodes(tmp_path, ports):
        _wait_for_answers(ports)
        with redis.Redis(port=ports[0]) as client:
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", 1)
            client.execute_command("CLUSTER ADDSLOTS", *range(16_384 // 3))
        with redis.Redis(port=ports[1]) as client:
            client.execute_command("CLUSTER MEET", "127.0.0.1", ports[2])
        cluster.form(ports)
        with redis.Redis(port=ports[0], decode_responses=True) as client:
            assert cluster._info(client)["cluster_slots_ok"] == "16384"


def test_a_node_that_starts_again_is_empty(tmp_path: Path) -> None:
    """Also one that was sent everything when it became a Redis replica: what it was sent is old by then."""
    ports = free_ports(4)
    with running_nodes(tmp_path, ports) as processes:
        _wait_for_answers(ports)
        cluster.form(ports[:3])
        with redis.RedisCluster(host=cluster.HOST, port=ports[0]) as store:
            for number in range(100):
                store.set(f"key-{number}", 1)
        with redis.Redis(port=ports[3], decode_responses=True) as late:
            late.execute_command("CLUSTER MEET", cluster.HOST, ports[0])
            until(lambda: cluster._knows(late, 4), "the fourth has met the others")
            with redis.Redis(port=ports[0], decode_responses=True) as first:
                late.execute_command("CLUSTER REPLICATE", first.execute_command("CLUSTER MYID"))
        until(lambda: _held(ports[3]) == _held(ports[0]) > 0, "the Redis replica has it all")
        for process in (processes[0], processes[3]):
            process.kill()
            process.wait()
        processes[3] = subprocess.Popen(cluster.server_command(ports[3], tmp_path / str(ports[3])))
        _wait_for_answers(ports[3:])
        assert _held(ports[3]) == 0


def test_with_a_shard_lost_the_others_answer(tmp_path: Path) -> None:
    """Two thirds of the keys are answered when the cluster knows that nobody has the rest."""
    ports = free_ports(3)
    with running_nodes(tmp_path, ports) as processes:
        _wait_for_answers(ports)
        cluster.form(ports)
        with redis.Redis(port=ports[2], decode_responses=True) as kept:
            name = next(f"key-{n}" for n in range(100) if key_slot(b"key-%d" % n) > 11_000)
            kept.set(name, "value")
            processes[0].kill()
            until(
                lambda: cluster._info(kept)["cluster_slots_fail"] != "0",
                "the first is known to be lost",
            )
            assert kept.get(name) == "value"


def _held(port: int) -> int:
    try:
        with redis.Redis(port=port) as client:
            return int(client.dbsize())
    except redis.RedisError:
        return -1


def _wait_for_answers(ports: list[int]) -> None:
    for port in ports:
        with redis.Redis(port=port) as client:
            cluster._until(cluster._answers, client, "does not answer")
