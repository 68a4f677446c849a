"""The client of the Redis Cluster: what it asks, and how often."""

import redis

from jobs.store.client import Client
from schemas.environment import Node


def test_a_process_asks_once_what_commands_there_are(redis_nodes: tuple[Node, ...]) -> None:
    """The second client asks nobody and finds the slot of a key; a command that nobody knew is asked for."""
    with Client(redis_nodes) as first:
        first.set("shelf:a", 1)
    before = _asked(redis_nodes)
    with Client(redis_nodes) as second:
        assert second.get("shelf:a") == b"1"
        assert second.command_count() > 100
        assert _asked(redis_nodes) == before
        del second.commands_parser.commands["get"]
        assert second.get("shelf:a") == b"1"
    assert _asked(redis_nodes) == before + 1


def _asked(nodes: tuple[Node, ...]) -> int:
    """Return how often the cluster was asked for its commands."""
    asked = 0
    for node in nodes:
        with redis.Redis(host=node.host, port=node.port) as client:
            asked += client.info("commandstats").get("cmdstat_command", {"calls": 0})["calls"]
    return asked
