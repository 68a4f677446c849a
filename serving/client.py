"""Clients of the Redis Cluster: how one is made, whether it answers, how another is found that does.

In: settings and a key. Out: a client of the library that answers for the key. Guarantees that a node that hangs or is
cut off holds up the search for another by 200 ms.
"""

import asyncio
import logging
from itertools import cycle
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster

from schemas.environment import Node
from serving.settings import Settings

_LOG = logging.getLogger(__name__)
_HEAL_EVERY_S = 0.2
PROBE_TIMEOUT_S = 1.0
_CONNECTIONS_A_NODE = 256


class _FirstIsKey:
    """Where redis-py finds the key of a command: an edge replica sends none but those whose first argument is the key.

    Its own parser asks for COMMAND with each fresh client, and reading the answer holds up every request for 8 ms.
    """

    async def initialize(self, node: ClusterNode | None = None) -> None:
        """There is nothing to learn."""

    async def get_keys(self, *command: Any) -> tuple[Any, ...]:
        """Return the key of a command."""
        return command[1:2]


def connect(settings: Settings, *nodes: Node) -> RedisCluster:
    """Return a client that will learn the topology from these nodes; it connects lazily."""
    client = RedisCluster(
        host=nodes[0].host,
        port=nodes[0].port,
        startup_nodes=[ClusterNode(node.host, node.port) for node in nodes],
        username=settings.redis_user,
        password=settings.redis_password,
        ssl=settings.redis_tls,
        ssl_ca_certs=str(settings.redis_ca) if settings.redis_ca else None,
        max_connections=_CONNECTIONS_A_NODE,
        # Closing live connections at every fifth redirect failed 5 % of requests while slots moved.
        reinitialize_steps=0,
        # One deadline of our own: a time-out per operation wraps each in a task (4 to 7 microseconds).
        socket_timeout=None,
        socket_connect_timeout=PROBE_TIMEOUT_S,
    )
    client.commands_parser = _FirstIsKey()  # type: ignore[assignment]  # has all that is called
    return client


async def fresh(settings: Settings, key: str) -> RedisCluster:
    """Return a new client that answers for `key`, having learned the topology from one node alone.

    Another node is asked every 200 ms, also while earlier ones hang: one that is frozen would hold up all of it
    for a second, and one that is cut off from the others tells of a topology that is no more.
    """
    loop = asyncio.get_running_loop()
    attempts: set[asyncio.Task[RedisCluster | None]] = set()
    try:
        for node in cycle(settings.redis):
            attempts.add(loop.create_task(_attempt(connect(settings, node), key)))
            pause = loop.create_task(asyncio.sleep(_HEAL_EVERY_S))
            while not pause.done():
                waited = {*attempts, pause}
                done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                for attempt in done & attempts:
                    attempts.discard(attempt)
                    if (found := attempt.result()) is not None:
                        pause.cancel()
                        return found
    finally:
        for attempt in attempts:
            attempt.cancel()
        for late in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(late, RedisCluster):
                await quietly_closed(late)
    raise AssertionError("settings name a node")


async def _attempt(client: RedisCluster, key: str) -> RedisCluster | None:
    """Return a new client if it answers for a key, else close it."""
    answers = False
    try:
        answers = await answers_for(client, key, initialize=True)
    finally:
        if not answers:
            await quietly_closed(client)
    return client if answers else None


async def answers_for(client: RedisCluster, key: str, *, initialize: bool = False) -> bool:
    """Say whether a client gets an answer about a key from the node that it believes to hold it."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            if initialize:
                await client.initialize()
            node = client.get_node_from_key(key)
            assert node is not None  # noqa: S101  # None is for replicas only
            await node.execute_command("EXISTS", key)
    except Exception as error:  # noqa: BLE001  # whatever it is, this client does not answer
        _LOG.debug("no answer about %s: %r", key, error)
        return False
    return True


async def quietly_closed(client: RedisCluster) -> None:
    """Close a client within a second, whatever state it is in."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await client.aclose()
    except Exception as error:  # noqa: BLE001  # it is being thrown away
        _LOG.debug("closing a client failed: %r", error)
