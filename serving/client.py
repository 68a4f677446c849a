"""Clients of the Redis Cluster: how one is made, whether it answers, how another is found that does.

In: settings and a key. Out: a client of the library that answers for the key. Guarantees that a node that hangs or is
cut off holds up the search for another by 200 ms.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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


@asynccontextmanager
async def answering(
    settings: Settings, key: str, current: RedisCluster
) -> AsyncIterator[RedisCluster]:
    """Give the first client that answers for `key`: the current one, or a new one that learned from one node alone.

    Another is asked every 200 ms, also while earlier ones hang: the current one may wait a second for a lost packet,
    a node that is frozen would hold up all of it, and one that is cut off from the others tells of a topology that is
    no more. New ones that are not given are closed.
    """
    attempts = {asyncio.create_task(_asked(current, key))}
    try:
        yield await _first(attempts, settings, key)
    finally:
        for attempt in attempts:
            attempt.cancel()
        for late in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(late, RedisCluster) and late is not current:
                await quietly_closed(late)


async def _first(
    attempts: set[asyncio.Task[RedisCluster | None]], settings: Settings, key: str
) -> RedisCluster:
    """Return what the first attempt finds that finds a client, adding more; those left in the set are under way."""
    nodes = cycle(settings.redis)
    while True:
        await asyncio.wait(attempts, timeout=_HEAL_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        for attempt in [one for one in attempts if one.done()]:
            attempts.discard(attempt)
            if (found := attempt.result()) is not None:
                return found
        attempts.add(asyncio.create_task(_made(connect(settings, next(nodes)), key)))


async def _asked(client: RedisCluster, key: str) -> RedisCluster | None:
    """Return a client if it answers for a key."""
    return client if await answers_for(client, key) else None


async def _made(client: RedisCluster, key: str) -> RedisCluster | None:
    """Return a new client if it answers for a key, else close it, and take 200 ms at least."""
    answers = False
    try:
        answers = await answers_for(client, key, initialize=True)
    finally:
        if not answers:
            await quietly_closed(client)
    if answers:
        return client
    await asyncio.sleep(_HEAL_EVERY_S)
    return None


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
