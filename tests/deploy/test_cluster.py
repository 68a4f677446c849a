"""The Redis Cluster of the local stack and of the tests."""

import redis

from deploy.local import cluster
from schemas.environment import Node


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
