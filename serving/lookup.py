"""Look-ups in the Redis Cluster, many at a time.

In: keys and fields. Out: their values. Guarantees that each look-up gets its value or a `LookupFailed` within the
deadline whatever goes wrong, and that no node's trouble holds up another's. Redirects are the client library's
business; a client that does not answer any more is replaced by a fresh one, which learns the topology again.

Each node has one pipeline under way at a time, and what comes meanwhile goes with the next one. A silent node
is tried by one pipeline now and then; what comes meanwhile fails at once instead of waiting as well.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from hiredis import pack_command
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.exceptions import ResponseError

from schemas.environment import Node
from serving import client
from serving.nodes import KnownNodes, named_by
from serving.settings import Settings
from serving.trouble import Troubles

_LOG = logging.getLogger(__name__)

_Waiter = asyncio.Future[Any]
#: A node that has said nothing for so many deadlines is silent, and tried as often as this. When everybody waited for a
#: frozen node, NGINX held up the next request of a connection for a second deadline: the p99 was 78 ms instead of 54.
_SILENT_DEADLINES, _TRIED_EVERY_S = 2, 0.05
#: A deadline that is noticed later than this was missed by this process, which did not run, and not by the node.
_NOTICED_S = 0.02
#: How often the cluster is asked what nodes it has: none of those known so far may be left one day.
_SURVEY_EVERY_S = 2.0


class LookupFailed(Exception):  # it is caught and answered; its text, if any, is for the log
    """The store did not give an answer in time, or none that can be used."""


class _Lookup(NamedTuple):
    #: Its second word is the key.
    command: tuple[str, ...]
    waiter: _Waiter
    #: By the loop's clock.
    deadline: float


class Lookups:
    """The one way to Redis of this process."""

    def __init__(self, settings: Settings, observe: Callable[[float], None]) -> None:
        """Connect lazily; `observe` is called with the seconds of every pipeline."""
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._deadline_s = settings.lookup_deadline_ms / 1000
        self._observe = observe
        self._cluster = client.connect(settings, *settings.redis)
        self._known = KnownNodes(settings.redis)
        self._troubles = Troubles(settings.redis_password, tls=settings.redis_tls)
        self._surveyed_at = 0.0
        self._lost_key = ""
        # By the identity of the node's object: a fresh client's node waits for nothing of the old one's.
        self._waiting: dict[int, list[_Lookup]] = {}
        # Nodes that let a deadline pass: since when they have said nothing; of silent ones, when they are tried again.
        self._quiet_since: dict[int, float] = {}
        self._silent: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._healing = False
        self._closed = False

    def ask(self, *command: str) -> _Waiter:
        """Return a future of what Redis answers to a command whose second word is a key, e.g. HGET.

        The future raises LookupFailed when no answer came within the deadline.
        """
        waiter: _Waiter = self._loop.create_future()
        now = self._loop.time()
        lookup = _Lookup(command, waiter, now + self._deadline_s)
        try:
            node = self._cluster.nodes_manager.get_node_from_slot(_slot(command[1]))
        except Exception:  # noqa: BLE001  # no topology yet, a slot without a node: answered alike
            self._fail(lookup)
            return waiter
        waiting = self._waiting.get(id(node))
        tried_at = self._silent.get(id(node))
        # An empty list: the trial has been sent and not been answered.
        if tried_at is not None and (tried_at > now or waiting == []):
            self._fail(lookup)
        elif waiting is None:
            self._waiting[id(node)] = [lookup]
            self._start(self._serve(node))
        else:
            waiting.append(lookup)
        return waiter

    async def read(self, *command: str) -> Any:
        """Return what the library makes of the answer, within a second. Raises LookupFailed otherwise.

        Asked of the node itself: the cluster's client would answer one dead node by learning the topology again
        and again, and one that is cut off by closing the connections to all.
        """
        try:
            async with asyncio.timeout(client.PROBE_TIMEOUT_S):
                await self._cluster.initialize()
                node = self._cluster.nodes_manager.get_node_from_slot(_slot(command[1]))
                try:
                    found = await node.execute_command(*command)
                except client.REDIRECTS:
                    found = await self._cluster.execute_command(*command)
                else:
                    self._survey(node)
                return found
        except Exception as error:
            self._heal(command[1])
            raise LookupFailed from error

    def _survey(self, node: ClusterNode) -> None:
        """Have a node that answers name the nodes of the cluster, unless that was done lately."""
        now = self._loop.time()
        if now - self._surveyed_at >= _SURVEY_EVERY_S:
            self._surveyed_at = now
            self._start(self._learn_from(node))

    async def _learn_from(self, node: ClusterNode) -> None:
        try:
            async with asyncio.timeout(client.PROBE_TIMEOUT_S):
                slots = await node.execute_command("CLUSTER SLOTS")
            self._known.learn(named_by(slots, node.host))
        except Exception as error:  # noqa: BLE001  # as in _send
            _LOG.debug("%s did not name the nodes: %r", node.name, error)

    async def close(self) -> None:
        """Close the connections."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        # What they have open they close: uvloop waits for ever for a connection that was dropped instead.
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._cluster.aclose()

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, node: ClusterNode) -> None:
        """Send a node what waits for it until nothing does, or it is silent."""
        try:
            while batch := self._waiting[id(node)]:
                self._waiting[id(node)] = []
                await self._send(node, batch)
                if id(node) in self._silent:
                    break
        finally:
            # Left when the node was silent, or this task was cancelled.
            for lookup in self._waiting.pop(id(node)):
                self._fail(lookup)

    async def _send(self, node: ClusterNode, batch: list[_Lookup]) -> None:
        """Answer a batch from one pipeline; raises nothing."""
        started = time.perf_counter()
        redirected: list[_Lookup] = []
        try:
            # The first is the oldest: those behind a pipeline that hangs wait for no second deadline.
            async with asyncio.timeout_at(batch[0].deadline):
                await _pipeline(node, batch, redirected, self._troubles)
            if self._quiet_since:
                self._quiet_since.pop(id(node), None)
                self._silent.pop(id(node), None)
        except TimeoutError:
            self._missed(node, batch[0].deadline)
        except Exception as error:  # noqa: BLE001  # uvloop raises RuntimeError, redis-py many more
            _LOG.debug("a pipeline to %s failed: %r", node.name, error)
        finally:
            self._observe(time.perf_counter() - started)
            for lookup in redirected:
                self._start(self._follow(lookup))
            # Here whatever happened, so that no waiter is left.
            if len(redirected) < len(batch):
                for lookup in batch:
                    if not lookup.waiter.done() and lookup not in redirected:
                        self._fail(lookup)

    def _missed(self, node: ClusterNode, deadline: float) -> None:
        """Note that a node let a deadline pass."""
        now = self._loop.time()
        if now - deadline <= _NOTICED_S:
            since = self._quiet_since.setdefault(id(node), deadline - self._deadline_s)
            if now - since >= _SILENT_DEADLINES * self._deadline_s:
                self._silent[id(node)] = now + _TRIED_EVERY_S

    async def _follow(self, lookup: _Lookup) -> None:
        """Ask again through the client library, which learns the slot's new place by it."""
        try:
            async with asyncio.timeout_at(lookup.deadline):
                found = await self._cluster.execute_command(*lookup.command)
            if not lookup.waiter.done():
                lookup.waiter.set_result(found)
        except Exception as error:  # noqa: BLE001  # as in _send
            _LOG.debug("a redirect of %s failed: %r", lookup.command[1], error)
        finally:
            self._fail(lookup)

    def _fail(self, lookup: _Lookup) -> None:
        """Answer a look-up that has no answer yet, and see to it that there will be a client that has."""
        if not lookup.waiter.done():
            lookup.waiter.set_exception(LookupFailed())
            self._heal(lookup.command[1])

    def _heal(self, key: str) -> None:
        """Replace the client by one that answers for `key`, unless it does or that is under way."""
        self._lost_key = key
        if not self._healing and not self._closed:
            self._healing = True
            self._start(self._replace_client())

    async def _replace_client(self) -> None:
        old: RedisCluster | None = None
        # A redirect may have named nodes that no survey has seen.
        cached = self._cluster.nodes_manager.nodes_cache.values()
        nodes = [Node(node.host, int(node.port)) for node in cached]
        self._known.learn(node for node in nodes if node not in self._known)
        self._troubles.forget()
        search = client.Search(self._settings, self._known, lambda: self._lost_key, self._troubles)
        try:
            # A deadline is also missed by a process that is busy; a new client would only cost it more.
            async with client.answering(search, self._cluster) as found:
                if found is not self._cluster:
                    old, self._cluster = self._cluster, found
                    self._quiet_since.clear()
                    self._silent.clear()
                    # What is under way on the old client ends within the deadline.
                    await asyncio.sleep(2 * self._deadline_s)
        finally:
            # Before the old one is closed, which may take a second.
            self._healing = False
            if old is not None:
                await client.quietly_closed(old)


@lru_cache(maxsize=1 << 14)
def _slot(key: str) -> int:
    # A release has some thousand keys, each asked for again and again.
    return int(key_slot(key.encode()))


async def _pipeline(
    node: ClusterNode, batch: list[_Lookup], redirected: list[_Lookup], troubles: Troubles
) -> None:
    """Ask one node for a batch and answer its waiters as the replies come; tell which were redirected.

    This is `ClusterNode.execute_pipeline` without an object and a dictionary for each command, and packed as redis-py's
    other connections pack: 0.4 instead of 3.5 microseconds a look-up.
    """
    connection = node.acquire_connection()
    try:
        packed = b"".join(pack_command(lookup.command) for lookup in batch)  # type: ignore[arg-type]  # said to take one word
        await connection.send_packed_command(packed)
        for lookup in batch:
            try:
                found = await connection.read_response()
            except client.REDIRECTS:
                redirected.append(lookup)
            except ResponseError as error:
                troubles.note(node.name, error)
                troubles.log()
            else:
                if not lookup.waiter.done():
                    lookup.waiter.set_result(found)
    except BaseException:
        # Replies that nobody read would answer the next batch.
        await connection.disconnect(nowait=True)
        raise
    finally:
        node.release(connection)
