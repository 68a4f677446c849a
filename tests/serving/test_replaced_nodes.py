"""Look-ups while the nodes of a real cluster are replaced by others that no setting names."""

import asyncio
import logging
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis
import uvloop

from deploy.local import cluster
from schemas.environment import Node
from serving.lookup import LookupFailed, Lookups
from serving.nodes import KnownNodes, named_by
from serving.settings import Settings
from tests.conftest import free_ports, running_cluster, running_nodes
from tests.harness.store import pid_of
from tests.harness.waiting import until

PATIENCE_S = 30.0
KEYS = [f"shelf:test:users:{number}" for number in range(30)]
POINTER = "shelf:catalog"


@contextmanager
def _with_spares(folder: Path, spares: int) -> Iterator[tuple[list[Node], list[Node]]]:
    """Three primaries with 30 hashes, and nodes of the same cluster that hold no slot."""
    with ExitStack() as stack:
        nodes = stack.enter_context(running_cluster(folder))
        ports = free_ports(spares)
        stack.enter_context(running_nodes(folder, ports))
        new = [Node(cluster.HOST, port) for port in ports]
        for node in new:
            until(partial(_answers, node), "a spare node answers")
            _ask(node, "CLUSTER", "MEET", nodes[0].host, nodes[0].port)
        everyone = [*nodes, *new]
        until(lambda: all(_sees(node, len(everyone)) for node in everyone), "all know all")
        for node in everyone:
            # Else a node that has lost its last slot becomes a Redis replica by itself.
            _ask(node, "CONFIG", "SET", "cluster-allow-replica-migration", "no")
        with redis.RedisCluster(host=nodes[0].host, port=nodes[0].port) as client:
            for key in KEYS:
                client.hset(key, "7", key)
        yield list(nodes), new


def _ask(node: Node, *command: str | int) -> object:
    with redis.Redis(host=node.host, port=node.port, decode_responses=True) as client:
        return client.execute_command(*command)


def _answers(node: Node) -> bool:
    try:
        return bool(_ask(node, "PING"))
    except redis.ConnectionError:
        return False


def _sees(node: Node, nodes: int) -> bool:
    with redis.Redis(host=node.host, port=node.port, decode_responses=True) as client:
        return cluster._state_ok(client, nodes)


def _replaced(old: Node, new: Node, others: list[Node], *, reset: bool) -> None:
    """Move all slots with their keys, as `reshard` does; then remove the node, which ends or goes on alone."""
    names = {node: str(_ask(node, "CLUSTER", "MYID")) for node in (old, new)}
    slots: list[int] = []
    with redis.Redis(host=old.host, port=old.port, decode_responses=True) as client:
        held = defaultdict(list)
        for key in client.keys("*"):
            held[int(client.execute_command("CLUSTER", "KEYSLOT", key))].append(key)
        for first, last, owner, *_ in client.execute_command("CLUSTER SLOTS"):
            slots += range(int(first), int(last) + 1) if int(owner[1]) == old.port else ()
    for slot, keys in held.items():
        _ask(new, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[old])
        _ask(old, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[new])
        for key in keys:
            _ask(old, "MIGRATE", new.host, new.port, key, 0, 5000)
    for node in (new, old, *others):
        with redis.Redis(host=node.host, port=node.port) as client:
            pipeline = client.pipeline(transaction=False)
            for slot in slots:
                pipeline.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[new])
            if node == new:
                pipeline.execute_command("CLUSTER", "BUMPEPOCH")
            pipeline.execute()
    for node in (new, *others):
        _ask(node, "CLUSTER", "FORGET", names[old])
    if reset:
        _ask(old, "CLUSTER", "RESET", "SOFT")
    else:
        os.kill(pid_of(old), signal.SIGKILL)


async def _lost(lookups: Lookups, keys: list[str]) -> set[str]:
    waiters = [lookups.ask("HGET", key, "7") for key in keys]
    found = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(
        isinstance(answer, LookupFailed) or answer == key.encode()
        for key, answer in zip(keys, found, strict=True)
    )
    return {key for key, answer in zip(keys, found, strict=True) if isinstance(answer, Exception)}


async def _until_all_answer(lookups: Lookups, keys: list[str]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while await _lost(lookups, keys):
        assert time.monotonic() < give_up, "the look-ups do not find the new node"
        await asyncio.sleep(0.02)


async def _until_surveyed(lookups: Lookups, node: Node) -> None:
    """Read the pointer, as a replica without requests does, until a node is known."""
    give_up = time.monotonic() + PATIENCE_S
    while node not in lookups._known:
        assert time.monotonic() < give_up, "the node is never learned of"
        try:
            await lookups.read("HGET", POINTER, "live")
        except LookupFailed:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.02)


def test_every_address_of_the_settings_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node after another, each ended or left alone, with and without requests between: all keys answer."""
    monkeypatch.setattr("serving.lookup._SURVEY_EVERY_S", 0.0)

    async def main(old: list[Node], new: list[Node]) -> None:
        lookups = Lookups(Settings(redis=(old[0],), lookup_deadline_ms=1000), lambda _s: None)
        try:
            await lookups._cluster.initialize()
            await _until_all_answer(lookups, KEYS)
            replaced = asyncio.to_thread
            await replaced(_replaced, old[0], new[0], old[1:], reset=False)
            await _until_all_answer(lookups, KEYS)
            await replaced(_replaced, old[1], new[1], [old[2], new[0]], reset=True)
            await _until_surveyed(lookups, new[1])
            await replaced(_replaced, old[2], new[2], new[:2], reset=False)
            await _until_all_answer(lookups, KEYS)
        finally:
            await lookups.close()

    with _with_spares(tmp_path, 3) as (old, new):
        uvloop.run(main(old, new))


def test_a_shard_that_stays_away_does_not_keep_others_from_being_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With one shard gone for good, keys of a node that is replaced meanwhile come back; one log line says why."""

    async def main(old: list[Node], new: list[Node]) -> None:
        lookups = Lookups(Settings(redis=tuple(old), lookup_deadline_ms=1000), lambda _s: None)
        try:
            await lookups._cluster.initialize()
            await _until_all_answer(lookups, KEYS)
            of_node = lookups._cluster.get_node_from_key
            gone = [key for key in KEYS if _port(of_node(key)) == old[0].port]
            os.kill(pid_of(old[0]), signal.SIGKILL)
            assert await _lost(lookups, gone)
            searching = lookups._healing
            await asyncio.to_thread(_replaced, old[1], new[0], [old[2]], reset=False)
            give_up = time.monotonic() + PATIENCE_S
            while await _lost(lookups, KEYS) != set(gone):
                assert time.monotonic() < give_up, "the look-ups do not find the new node"
                await asyncio.sleep(0.02)
            assert searching
        finally:
            await lookups.close()

    with caplog.at_level(logging.WARNING, "serving"), _with_spares(tmp_path, 1) as (old, new):
        uvloop.run(main(old, new))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("look-ups fail: ")
    assert f"{old[0]}" in line


def _port(node: object) -> int:
    return int(node.port)  # type: ignore[attr-defined]  # a node of redis-py


def test_known_nodes_are_bounded_and_the_newest_come_first() -> None:
    """Addresses of the settings stay; of 100 learned ones the 64 newest do, and a seed and one of these take turns."""
    seeds = (Node("seed", 1), Node("seed", 2))
    known = KnownNodes(seeds)
    known.learn(Node("node", port) for port in range(1, 101))
    known.learn([Node("node", 50), Node("seed", 2)])
    turn = known.in_turn()
    assert [next(turn) for _ in range(5)] == [
        Node("seed", 1), Node("seed", 2), Node("node", 50), Node("node", 100), Node("node", 99),
    ]  # fmt: skip
    assert len(known) == 2 + 63
    assert Node("node", 37) not in known
    assert Node("node", 38) in known


def test_nodes_of_cluster_slots() -> None:
    """Primaries and Redis replicas, each once; one that does not know its own address is the one that was asked."""
    slots = [
        [0, 99, [b"10.0.0.1", 1, b"id"], [b"::1", 2, b"id", []]],
        [100, 199, [b"", 3, b"id"], [b"10.0.0.1", 1, b"id"]],
        [200, 299, [None, 4, b"id"]],
    ]
    assert list(map(str, named_by(slots, "asked"))) == [
        "10.0.0.1:1", "[::1]:2", "asked:3", "asked:4",
    ]  # fmt: skip
