"""Look-ups against a real cluster whose nodes are slow, hang, die and cut connections."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
import uvloop
from redis._parsers.hiredis import _AsyncHiredisParser
from redis.asyncio.cluster import NodesManager, RedisCluster
from redis.exceptions import ResponseError, TimeoutError  # noqa: A004  # redis-py's own

from deploy.local import cluster
from schemas.environment import Node
from serving import client
from serving.lookup import LookupFailed, Lookups
from serving.nodes import KnownNodes
from serving.settings import Settings
from serving.trouble import Troubles
from tests.conftest import free_ports, running_cluster
from tests.harness.store import frozen, pid_of
from tests.harness.waiting import until

#: How long a test waits, on however busy a machine, for what takes milliseconds.
PATIENCE_S = 30.0
DEADLINE_MS = 100
#: Where no look-up may fail, however busy the machine is.
UNHURRIED_MS = 20_000
KEYS = [f"shelf:test:users:{number}" for number in range(30)]

Work = Callable[[Lookups, list[float]], Awaitable[None]]


@pytest.fixture
def nodes(redis_nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The session's cluster with 30 hashes on all nodes; field 7 of each holds the hash's own key."""
    _fill(redis_nodes)
    return redis_nodes


def _fill(nodes: tuple[Node, ...]) -> None:
    with redis.RedisCluster(host=nodes[0].host, port=nodes[0].port) as client:
        for key in KEYS:
            client.hset(key, "7", key)


def _looking_up(nodes: tuple[Node, ...], work: Work, deadline_ms: int = DEADLINE_MS) -> None:
    """Run `work` with look-ups that have learned the topology, and the seconds of each pipeline."""

    async def main() -> None:
        pipelines: list[float] = []
        settings = Settings(redis=nodes, lookup_deadline_ms=deadline_ms)
        lookups = Lookups(settings, pipelines.append)
        try:
            await lookups._cluster.initialize()
            await _whole_again(lookups)
            pipelines.clear()
            await asyncio.wait_for(work(lookups, pipelines), 2 * PATIENCE_S)
        finally:
            await lookups.close()

    uvloop.run(main())


async def _ask(lookups: Lookups, keys: list[str] = KEYS) -> dict[str, bytes | BaseException | None]:
    """Look every key up at once; every waiter must be answered."""
    waiters = [lookups.ask("HGET", key, "7") for key in keys]
    found = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), PATIENCE_S)
    assert all(answer is None or isinstance(answer, bytes | LookupFailed) for answer in found), (
        found
    )
    return dict(zip(keys, found, strict=True))


async def _whole_again(lookups: Lookups) -> None:
    """Wait until every key is answered with its value, and nothing is under way."""
    give_up = time.monotonic() + PATIENCE_S
    while await _ask(lookups) != {key: key.encode() for key in KEYS} or lookups._healing:
        assert time.monotonic() < give_up, "the look-ups do not recover"
        await asyncio.sleep(0.02)
    assert lookups._waiting == {}


def _of_node(lookups: Lookups, port: int) -> set[str]:
    """Return the keys that a node holds."""
    nodes = {key: lookups._cluster.get_node_from_key(key) for key in KEYS}
    return {key for key, node in nodes.items() if node is not None and node.port == port}


def _restarted(nodes: tuple[Node, ...], node: Node, folder: Path) -> subprocess.Popen[bytes]:
    """Start a node again, wait until the cluster is whole, and load what the node has lost."""
    command = cluster.server_command(node.port, folder / str(node.port))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until(lambda: all(map(_sees_a_whole_cluster, nodes)), "the cluster is whole again")
    _fill(nodes)
    return process


def _sees_a_whole_cluster(node: Node) -> bool:
    try:
        with redis.Redis(host=node.host, port=node.port) as client:
            return cluster._state_ok(client, 3)
    except redis.exceptions.ConnectionError:
        return False


def test_what_comes_together_goes_together(nodes: tuple[Node, ...]) -> None:
    """Look-ups of one turn are one pipeline a node, each with its own answer; a missing field is None."""

    async def work(lookups: Lookups, pipelines: list[float]) -> None:
        first = await asyncio.gather(*(lookups.ask("HGET", key, "7") for key in KEYS * 20))
        assert first == [key.encode() for key in KEYS * 20]
        assert len(pipelines) == 3
        assert await lookups.ask("HGET", KEYS[0], "nobody") is None

    _looking_up(nodes, work, UNHURRIED_MS)


def test_what_comes_while_a_pipeline_is_under_way_goes_with_the_next(
    nodes: tuple[Node, ...],
) -> None:
    """A node that does not answer yet is sent nothing more; all that came meanwhile is one more pipeline."""

    async def work(lookups: Lookups, pipelines: list[float]) -> None:
        waiters = []
        with frozen(nodes[0]):
            key = _of_node(lookups, nodes[0].port).pop()
            for _ in range(10):
                waiters.append(lookups.ask("HGET", key, "7"))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        assert await asyncio.gather(*waiters) == [key.encode()] * 10
        assert len(pipelines) == 2

    _looking_up(nodes, work, UNHURRIED_MS)


def test_a_frozen_node_holds_up_no_other(nodes: tuple[Node, ...]) -> None:
    """Keys of the other nodes keep their values, keys of the frozen one fail; all is well when it thaws."""

    async def work(lookups: Lookups, _pipelines: list[float]) -> None:
        lost = _of_node(lookups, nodes[1].port)
        assert 0 < len(lost) < len(KEYS)
        with frozen(nodes[1]):
            for _ in range(2):
                found = await _ask(lookups)
                assert {key for key in KEYS if isinstance(found[key], LookupFailed)} == lost
        await _whole_again(lookups)

    _looking_up(nodes, work, 1000)


def test_a_look_up_behind_a_hanging_pipeline_waits_one_deadline(nodes: tuple[Node, ...]) -> None:
    """What queued behind a pipeline that hangs is answered by its own deadline, not by two in a row."""

    async def work(lookups: Lookups, _pipelines: list[float]) -> None:
        key = _of_node(lookups, nodes[0].port).pop()
        loop = asyncio.get_running_loop()
        with frozen(nodes[0]):
            first = lookups.ask("HGET", key, "7")
            await asyncio.sleep(DEADLINE_MS / 1000 * 0.9)
            asked = loop.time()
            second = lookups.ask("HGET", key, "7")
            waiting = lookups._waiting[id(lookups._cluster.get_node_from_key(key))]
            assert [found.deadline for found in waiting] == [
                pytest.approx(asked + DEADLINE_MS / 1000, abs=0.05)
            ]
            for waiter in (first, second):
                with pytest.raises(LookupFailed):
                    await waiter

    _looking_up(nodes, work)


def test_who_comes_while_a_silent_node_is_tried_does_not_wait(
    nodes: tuple[Node, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two deadlines without a word a trial waits as long, others not at all; a later one finds it thawed."""
    monkeypatch.setattr("serving.lookup._TRIED_EVERY_S", 0.0)
    monkeypatch.setattr("serving.lookup._NOTICED_S", PATIENCE_S)  # however busy this process is

    async def work(lookups: Lookups, _pipelines: list[float]) -> None:
        key = _of_node(lookups, nodes[0].port).pop()
        with frozen(nodes[0]):
            for _ in range(2):
                waiter = lookups.ask("HGET", key, "7")
                assert not waiter.done()
                with pytest.raises(LookupFailed):
                    await waiter
            trial = lookups.ask("HGET", key, "7")
            beside = lookups.ask("HGET", key, "7")
            await asyncio.sleep(0)  # the trial is sent
            await asyncio.sleep(0)
            assert (trial.done(), lookups.ask("HGET", key, "7").done()) == (False, True)
            monkeypatch.setattr("serving.lookup._TRIED_EVERY_S", 5.0)
            with pytest.raises(LookupFailed):
                await trial
            assert beside.done()
            assert lookups.ask("HGET", key, "7").done()
            assert not lookups.ask("HGET", _of_node(lookups, nodes[1].port).pop(), "7").done()
        await _whole_again(lookups)

    _looking_up(nodes, work, 1000)


def test_a_busy_process_keeps_its_client(nodes: tuple[Node, ...]) -> None:
    """A deadline that was missed because this process did other things replaces no client and blames no node."""

    async def work(lookups: Lookups, _pipelines: list[float]) -> None:
        client = lookups._cluster
        for _ in range(3):
            waiters = [lookups.ask("HGET", key, "7") for key in KEYS]
            time.sleep(4 * DEADLINE_MS / 1000)  # noqa: ASYNC251  # this is the point
            found = await asyncio.gather(*waiters, return_exceptions=True)
            assert all(isinstance(answer, LookupFailed) for answer in found)
            assert lookups._silent == {}
            await _whole_again(lookups)
        assert lookups._cluster is client

    _looking_up(nodes, work)


def test_cut_connections_are_made_anew(nodes: tuple[Node, ...]) -> None:
    """After every node has closed every connection, look-ups answer again."""

    async def work(lookups: Lookups, _pipelines: list[float]) -> None:
        for _ in range(3):
            for node in nodes:
                with redis.Redis(host=node.host, port=node.port) as client:
                    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await _ask(lookups)
            await _whole_again(lookups)

    _looking_up(nodes, work)


def test_a_fresh_client_does_not_ask_what_commands_there_are(nodes: tuple[Node, ...]) -> None:
    """Neither the first client nor its successors send COMMAND, whose answer takes 8 ms to read."""

    def asked() -> int:
        total = 0
        for node in nodes:
            with redis.Redis(host=node.host, port=node.port) as one:
                stats = one.info("commandstats")
                total += sum(found["calls"] for name, found in stats.items() if "command" in name)
        return total

    async def work(lookups: Lookups, _pipelines: list[float]) -> None:
        first = lookups._cluster
        await first.aclose()
        lookups._cluster = RedisCluster(host=cluster.HOST, port=1)
        await _whole_again(lookups)
        assert lookups._cluster is not first

    before = asked()
    _looking_up(nodes, work)
    assert asked() == before


def test_an_address_that_never_answers_holds_up_no_fresh_client(
    nodes: tuple[Node, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten clients that know no node are replaced while the first address hangs, and what hangs is never given up."""
    monkeypatch.setattr(client, "PROBE_TIMEOUT_S", 10 * PATIENCE_S)

    async def work(lookups: Lookups, _pipelines: list[float]) -> None:
        with socket.create_server((cluster.HOST, 0)) as silent:
            first = Node(cluster.HOST, silent.getsockname()[1])
            lookups._known = KnownNodes((first, *nodes))
            for _ in range(10):
                await lookups._cluster.aclose()
                lookups._cluster = RedisCluster(host=cluster.HOST, port=1)
                await _whole_again(lookups)

    _looking_up(nodes, work)


def test_a_client_that_hangs_is_not_waited_for(
    nodes: tuple[Node, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose connections say nothing, as after lost packets, is replaced long before it is given up."""
    monkeypatch.setattr(client, "PROBE_TIMEOUT_S", 10 * PATIENCE_S)

    async def work(lookups: Lookups, _pipelines: list[float]) -> None:
        with socket.create_server((cluster.HOST, 0)) as silent:
            hanging = lookups._cluster
            for node in hanging.get_nodes():
                await node.disconnect()
                node._connections.clear()
                node._free.clear()
                node.connection_kwargs["port"] = silent.getsockname()[1]
            await _whole_again(lookups)
            assert lookups._cluster is not hanging

    _looking_up(nodes, work)


def test_nodes_that_answer_at_last_are_not_all_learned_from(
    nodes: tuple[Node, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six fresh clients hang with the nodes; when these go on, the first one reads the topology, not all at once."""
    monkeypatch.setattr(client, "PROBE_TIMEOUT_S", 10 * PATIENCE_S)
    connect, initialize = client.connect, NodesManager.initialize
    connected: list[RedisCluster] = []
    learned: list[NodesManager] = []
    six = asyncio.Event()

    def counted(*arguments: Any) -> RedisCluster:
        connected.append(connect(*arguments))
        if len(connected) == 6:
            six.set()
        return connected[-1]

    async def counting(self: NodesManager, *arguments: Any, **options: Any) -> None:
        await initialize(self, *arguments, **options)
        learned.append(self)

    async def work(lookups: Lookups, _pipelines: list[float]) -> None:
        monkeypatch.setattr(client, "connect", counted)
        monkeypatch.setattr(NodesManager, "initialize", counting)
        with ExitStack() as stack:
            for node in nodes:
                stack.enter_context(frozen(node))
            await _ask(lookups)
            await asyncio.wait_for(six.wait(), PATIENCE_S)
        await _whole_again(lookups)

    _looking_up(nodes, work)
    assert len(learned) <= 2


def test_a_node_that_refuses_does_not_hold_up_the_search(
    nodes: tuple[Node, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an hour between attempts a client is found behind two dead nodes all the same."""
    monkeypatch.setattr(client, "_HEAL_EVERY_S", 3600)
    dead = [Node("127.0.0.1", port) for port in free_ports(2)]

    async def main() -> None:
        settings = Settings(redis=(*dead, nodes[0]))
        lost = client.connect(settings, *dead)
        known = KnownNodes(settings.redis)
        search = client.Search(settings, known, lambda: KEYS[0], Troubles(None, tls=False))
        try:
            async with asyncio.timeout(PATIENCE_S):
                async with client.answering(search, lost) as found:
                    try:
                        assert await found.hget(KEYS[0], "7") == KEYS[0].encode()
                    finally:
                        await client.quietly_closed(found)
        finally:
            await client.quietly_closed(lost)

    uvloop.run(main())


def test_a_client_is_closed_also_where_closing_it_is_cancelled(nodes: tuple[Node, ...]) -> None:
    """No connection is left open, which the loop would wait for at its end."""

    async def work(lookups: Lookups, _pipelines: list[float]) -> None:
        fresh = client.connect(lookups._settings, *nodes)
        await fresh.initialize()
        node = fresh.get_node_from_key(KEYS[0])
        assert node is not None
        await node.execute_command("EXISTS", KEYS[0])
        (used,) = node._connections
        try:
            assert used.is_connected
            closing = asyncio.create_task(client.quietly_closed(fresh))
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert not used.is_connected
        finally:
            for held in ("nodes_cache", "startup_nodes"):
                await fresh.nodes_manager.aclose(held)

    _looking_up(nodes, work)


def test_a_killed_node_that_comes_back_is_found_again(tmp_path: Path) -> None:
    """While it is away its keys fail and the others answer; afterwards its answers come without a restart here."""
    with running_cluster(tmp_path) as nodes:
        _fill(nodes)
        restarted: list[subprocess.Popen[bytes]] = []

        async def work(lookups: Lookups, _pipelines: list[float]) -> None:
            lost = _of_node(lookups, nodes[2].port)
            os.kill(pid_of(nodes[2]), signal.SIGKILL)
            found = await _ask(lookups)
            assert {key for key in KEYS if isinstance(found[key], LookupFailed)} >= lost
            restarted.append(await asyncio.to_thread(_restarted, nodes, nodes[2], tmp_path))
            await _whole_again(lookups)

        try:
            _looking_up(nodes, work)
        finally:
            for process in restarted:
                process.terminate()
                process.wait(timeout=60)


#: The first is an answer of the server, the others come from below.
ERRORS: list[Exception] = [
    ResponseError("WRONGTYPE"),
    RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed"),
    ConnectionResetError("reset"),
    redis.exceptions.ConnectionError("closed"),
    TimeoutError("slow"),
    asyncio.IncompleteReadError(b"", 1),
    AttributeError("'NoneType' object has no attribute 'read'"),
]


@pytest.mark.parametrize(
    ("owner", "method", "error"),
    [(_AsyncHiredisParser, "read_response", error) for error in ERRORS]
    + [(asyncio.StreamWriter, "drain", error) for error in ERRORS[1:]],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_whatever_a_connection_raises_nobody_waits_for_ever(
    nodes: tuple[Node, ...],
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    method: str,
    error: Exception,
) -> None:
    """Every waiter of every batch is answered while every third call fails, and all is well afterwards."""
    original = getattr(owner, method)
    plan: deque[bool] = deque()

    async def planned(self: Any, *arguments: Any, **options: Any) -> Any:
        found = await original(self, *arguments, **options)
        plan.rotate(-1)
        if plan and plan[0]:
            if isinstance(error, ResponseError):
                return error
            raise error
        return found

    async def work(lookups: Lookups, _pipelines: list[float]) -> None:
        plan.extend([False, False, True])
        failed = 0
        for _ in range(10):
            found = await _ask(lookups)
            failed += sum(isinstance(answer, LookupFailed) for answer in found.values())
        assert failed
        plan.clear()
        await _whole_again(lookups)

    monkeypatch.setattr(owner, method, planned)
    _looking_up(nodes, work)
