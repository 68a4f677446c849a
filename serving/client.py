"""Clients of the Redis Cluster: how one is made, whether it answers, how another is found that does.

In: a search: settings, nodes and a key. Out: a client of the library that answers for the key. Guarantees that a node
that hangs or is cut off holds up the search by 200 ms, and that a search that finds nothing is logged with its reasons.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AskError,
    ConnectionError,  # noqa: A004  # redis-py's own
    MovedError,
    TryAgainError,
)

from schemas.environment import Node
from serving.nodes import KnownNodes
from serving.settings import Settings
from serving.trouble import Troubles

_LOG = logging.getLogger(__name__)
_HEAL_EVERY_S = 0.2
PROBE_TIMEOUT_S = 1.0
_CONNECTIONS_A_NODE = 256
#: A node's word that the key is another's.
REDIRECTS = (MovedError, AskError, TryAgainError)
_Found = asyncio.Future[RedisCluster]


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
        # With slots that nobody holds, the others' users still have lists.
        require_full_coverage=False,
        # Closing live connections at every fifth redirect failed 5 % of requests while slots moved.
        reinitialize_steps=0,
        # One deadline of our own: a time-out per operation wraps each in a task (4 to 7 microseconds).
        socket_timeout=None,
        socket_connect_timeout=PROBE_TIMEOUT_S,
    )
    client.commands_parser = _FirstIsKey()  # type: ignore[assignment]  # has all that is called
    return client


@dataclass(frozen=True)
class Search:
    """A search for a client: where nodes are known, which key was lost last, and what goes wrong."""

    settings: Settings
    known: KnownNodes
    key: Callable[[], str]
    troubles: Troubles
    found: _Found = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    #: Held while a client learns the topology.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@asynccontextmanager
async def answering(search: Search, current: RedisCluster) -> AsyncIterator[RedisCluster]:
    """Give the first client that answers for the lost key: the current one, or a new one that learned from one node.

    Another node is asked every 200 ms, also while earlier ones hang: the current one may wait a second for a lost
    packet, a node that is frozen would hold up all of it, and one that is cut off from the others describes a topology
    that is no more. New ones that are not given are closed.
    """
    found = search.found
    attempts = {asyncio.create_task(_asked(current, search.key(), search))}
    given: RedisCluster | None = None
    try:
        given = await _first(attempts, search, current)
        yield given
    finally:
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        # Cancelled in the moment between.
        if given is None and found.done() and found.result() is not current:
            await quietly_closed(found.result())


async def _first(
    attempts: set[asyncio.Task[None]], search: Search, current: RedisCluster
) -> RedisCluster:
    """Return what the first attempt finds that finds a client, adding more; those left in the set are under way."""
    nodes, first_key = search.known.in_turn(), search.key()
    # A current one that says no leaves nothing to wait for.
    first: set[asyncio.Future[Any]] = {search.found, *attempts}
    await asyncio.wait(first, timeout=_HEAL_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
    while not search.found.done():
        attempt = asyncio.create_task(_attempt(search, nodes, first_key, current))
        attempts.add(attempt)
        attempt.add_done_callback(attempts.discard)
        await asyncio.wait({search.found}, timeout=_HEAL_EVERY_S)
        if not search.found.done():
            search.troubles.log()
    return search.found.result()


async def _attempt(
    search: Search, nodes: Iterator[Node], first_key: str, current: RedisCluster
) -> None:
    """Make a client of the next node; of the one after it where that refuses, as a dead one does in 0.5 ms.

    With 200 ms for a dead node lists were personal again 0.36 s after the cluster was complete instead of 0.2. The key
    is the one lost last: a shard that stays away must not keep the slots of others from being found.
    """
    key = search.key()
    if key != first_key and await _answers(current, key, search.troubles):
        key = first_key
    for _ in range(len(search.known)):
        if await _made(connect(search.settings, next(nodes)), key, search):
            return


async def _made(client: RedisCluster, key: str, search: Search) -> bool:
    """Let a new client be found if it answers for a key, else close it; False if its node refuses connections."""
    found = search.found
    (asked,) = client.nodes_manager.startup_nodes
    asking: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await _has_a_view(client, key)
            # Filling in 16,384 slots holds up every request for 13 ms. When lost packets came through at last, ten at
            # once did: the p99 was 82 ms instead of 56.
            async with search.turn:
                if found.done():
                    return True
                await client.initialize()
                asking = asyncio.create_task(_asked(client, key, search))
                # One that hangs now holds up the others no longer than this.
                await asyncio.wait({asking}, timeout=_HEAL_EVERY_S)
        await asking
    except Exception as error:  # noqa: BLE001  # whatever it is, this client does not answer
        _LOG.debug("no client for %s: %r", key, error)
        search.troubles.note(asked, error)
        return not isinstance(error, ConnectionError)
    else:
        return True
    finally:
        if asking is not None:
            asking.cancel()
        if not found.done() or found.result() is not client:
            await quietly_closed(client)


async def _has_a_view(client: RedisCluster, key: str) -> None:
    """Ask the one node that a new client knows of for a key; raises where it neither has it nor names who does."""
    (node,) = client.nodes_manager.startup_nodes.values()
    with suppress(*REDIRECTS):
        await node.execute_command("EXISTS", key)


async def _asked(client: RedisCluster, key: str, search: Search) -> None:
    """Let a client be found if it gets an answer about a key from the node that it believes to hold it."""
    if await _answers(client, key, search.troubles) and not search.found.done():
        search.found.set_result(client)


async def _answers(client: RedisCluster, key: str, troubles: Troubles) -> bool:
    node: ClusterNode | None = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            node = client.get_node_from_key(key)
            assert node is not None  # noqa: S101  # None is for replicas only
            await node.execute_command("EXISTS", key)
    except Exception as error:  # noqa: BLE001  # whatever it is, this client does not answer
        _LOG.debug("no answer about %s: %r", key, error)
        if node is not None:
            troubles.note(node.name, error)
        return False
    return True


async def quietly_closed(client: RedisCluster) -> None:
    """Close a client within two seconds, whatever state it is in, and also where the caller is cancelled."""
    closing = asyncio.create_task(_closed(client))
    try:
        await asyncio.shield(closing)
    finally:
        # uvloop waits for ever for a connection that was dropped instead.
        await closing


async def _closed(client: RedisCluster) -> None:
    # One that never learned the topology leaves open what asked its first node.
    for close in (client.aclose, partial(client.nodes_manager.aclose, "startup_nodes")):
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await close()
        except Exception as error:  # noqa: BLE001  # it is being thrown away
            _LOG.debug("closing a client failed: %r", error)
