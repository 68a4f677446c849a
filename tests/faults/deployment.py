"""The whole native stack as separate processes that can be killed, frozen and started again one by one.

In: a folder, a node time-out, perhaps a network with a place for each Redis node. Out: three Redis primaries with a
Redis replica each, edge replicas, NGINX, and what is known from outside of their health. Guarantees that everything it
started has ended when the block ends.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError
from redis.retry import Retry

from deploy.local import cluster
from jobs.runtime.settings import Settings
from schemas.environment import Node, node_list
from tests.conftest import free_ports
from tests.deploy.nginx.front import listens, running_front
from tests.faults.network import Network
from tests.harness.waiting import until

PRIMARIES = 3
EDGES = 3

_EDGE = str(Path(sys.executable).with_name("nightshelf-edge"))
_ASK_S = 0.2
#: A replica imports for a second; where ten programs share a core it took more than thirty.
_START_S = 240
_SLOTS = 16_384


@dataclass
class Part:
    """One process of the stack."""

    name: str
    command: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    frozen: bool = False

    @property
    def running(self) -> bool:
        """Whether it runs and is not frozen."""
        return self.process is not None and self.process.poll() is None and not self.frozen

    @property
    def pid(self) -> int:
        """The process id of a started part."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it; its output goes to its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env={**os.environ, **self.environment}
            )

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=30)
            self.frozen = False

    def freeze(self) -> None:
        """Stop it where it is; connections to it stay and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)
        self.frozen = False


@dataclass
class RedisNode(Part):
    """A Redis node at an address; `cut` while clients cannot reach it."""

    address: Node = field(kw_only=True)
    place: int = field(kw_only=True)
    #: How a process manager starts it again.
    again: list[str] = field(kw_only=True)
    cut: bool = False
    _client: "redis.Redis | None" = None

    @property
    def reachable(self) -> bool:
        """Whether a client can reach it."""
        return self.running and not self.cut

    def ask(self, *command: str | int) -> Any:
        """Return the plain answer to a command. Raises RedisError."""
        if self._client is None:
            # Kept: to connect anew for every question took half a core while a failover was waited for.
            self._client = redis.Redis(
                host=self.address.host,
                port=self.address.port,
                socket_timeout=_ASK_S,
                socket_connect_timeout=_ASK_S,
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
            )
            # Text and lists as Redis sends them, whatever this version of redis-py would make of them.
            self._client.response_callbacks.clear()
        return self._client.execute_command(*command)

    @property
    def myself(self) -> list[str]:
        """Its own line of CLUSTER NODES, in parts. Raises RedisError."""
        lines: list[str] = self.ask("CLUSTER", "NODES").splitlines()
        return next(line for line in lines if "myself" in line).split()

    @property
    def slots(self) -> list[tuple[int, int]]:
        """The ranges that it serves as primary, by its own word; none while it does not answer."""
        try:
            parts = self.myself
        except RedisError:
            return []
        if "master" not in parts[2]:
            return []
        ranges = (part.partition("-") for part in parts[8:] if not part.startswith("["))
        return [(int(low), int(high or low)) for low, _, high in ranges]


@dataclass
class Deployment:
    """The running stack."""

    folder: Path
    redis: list[RedisNode]
    edges: list[Part]
    settings: Settings
    network: Network | None
    node_timeout_ms: int
    port: int = 0
    nginx: "subprocess.Popen[bytes] | None" = None
    #: Redis nodes that were started since.
    later: list[RedisNode] = field(default_factory=list)

    def start_redis(self, place: int) -> RedisNode:
        """Start one more Redis node, which knows no other yet. Not in a network of its own."""
        (port,) = free_ports(1)
        node = _node(self.folder, place, port, self.node_timeout_ms, None)
        self.later.append(node)
        node.start()
        return node

    def primary_of(self, key: str) -> RedisNode:
        """Return the reachable node that serves a key as primary. Raises LookupError while there is none."""
        slot = key_slot(key.encode())
        for node in self.redis:
            if node.reachable and any(low <= slot <= high for low, high in node.slots):
                return node
        raise LookupError(key)

    def copy_of(self, primary: RedisNode) -> RedisNode:
        """Return the Redis replica of a primary. Raises LookupError where there is none."""
        name = primary.myself[0]
        for node in self.redis:
            if node.reachable and node.myself[3] == name:
                return node
        raise LookupError(primary.name)

    def healed(self, without: RedisNode | None = None) -> bool:
        """Say whether all reachable nodes report `cluster_state:ok` and every slot, and reachable primaries serve it.

        `without` is a node that does not count: others have taken over from it.
        """
        served = 0
        for node in self.redis:
            if node.reachable and node is not without:
                try:
                    state = node.ask("CLUSTER", "INFO")
                except RedisError:
                    return False
                if not {"cluster_state:ok", f"cluster_slots_ok:{_SLOTS}"} <= set(state.split()):
                    return False
                served += sum(high - low + 1 for low, high in node.slots)
        return served >= _SLOTS

    def whole(self) -> bool:
        """Say whether every node runs, all is healed, and every Redis replica has synced."""
        return all(n.reachable for n in self.redis) and self.healed() and self._synced()

    def _synced(self) -> bool:
        try:
            roles = [node.ask("ROLE") for node in self.redis]
        except RedisError:
            return False
        copies = [role for role in roles if role[0] == "slave"]
        return len(copies) == PRIMARIES and all(role[3] == "connected" for role in copies)

    def told(self) -> str:
        """Return what each node says of the cluster."""
        found = []
        for node in self.redis:
            try:
                said = node.ask("CLUSTER", "NODES") if node.reachable else "not reachable"
            except RedisError as error:
                said = repr(error)
            found.append(f"{node.name}: {said}")
        return "\n".join(found)

    def wait_until_healed(self, without: RedisNode | None, deadline_s: float) -> None:
        """Wait for `healed`."""
        until(lambda: self.healed(without), _Told(self), deadline_s)

    def wait_until_whole(self, deadline_s: float = 60) -> None:
        """Wait for `whole`."""
        until(self.whole, _Told(self), deadline_s)


@dataclass(frozen=True)
class _Told:
    """What a wait that failed tells: how things stand then."""

    deployment: Deployment

    def __str__(self) -> str:
        return f"the Redis Cluster is well again\n{self.deployment.told()}"


@contextmanager
def running(
    folder: Path,
    artifacts: Path,
    *,
    node_timeout_ms: int = cluster.NODE_TIMEOUT_MS,
    network: Network | None = None,
    edge: dict[str, str] | None = None,
    nginx: dict[str, Any] | None = None,
    first: Callable[[Settings], object],
) -> Iterator[Deployment]:
    """Give a whole stack that serves what `first` published.

    `edge` and `nginx` are settings of theirs besides the defaults.
    """
    with ExitStack() as stack:
        nodes = _redis(folder, node_timeout_ms, network)
        for node in nodes:
            stack.callback(_end, node)
            node.start()
        cluster.form(
            [node.address.port for node in nodes], 1, [node.address.host for node in nodes]
        )
        addresses = tuple(node.address for node in nodes)
        settings = Settings(artifacts=artifacts, redis=addresses, retire_grace_s=60, lease_s=2)
        first(settings)
        ports = free_ports(EDGES)
        edges = [_edge(folder, port, addresses, edge or {}) for port in ports]
        deployment = Deployment(folder, nodes, edges, settings, network, node_timeout_ms)
        stack.callback(_end_all, deployment.later)
        for part in edges:
            stack.callback(_end, part)
            part.start()
        until(lambda: all(map(listens, ports)), f"edge replicas at {ports}", _START_S)
        replicas = ",".join(f"{cluster.HOST}:{port}" for port in ports)
        choices = {"nginx_read_timeout_ms": 300, **(nginx or {})}
        front = stack.enter_context(running_front(folder / "nginx", replicas, **choices))
        deployment.port, deployment.nginx = front.port, front.process
        yield deployment


def _redis(folder: Path, node_timeout_ms: int, network: Network | None) -> list[RedisNode]:
    ports = free_ports(2 * PRIMARIES)
    return [
        _node(folder, place, port, node_timeout_ms, network)
        for place, port in enumerate(ports, start=1)
    ]


def _node(
    folder: Path, place: int, port: int, node_timeout_ms: int, network: Network | None
) -> RedisNode:
    host = network.addresses[place] if network else cluster.HOST
    options = ["--cluster-node-timeout", str(node_timeout_ms)]
    if network:
        options += ["--bind", host, cluster.HOST, "--protected-mode", "no"]
    home = folder / f"redis-{port}"
    command = cluster.server_command(port, home, *options)
    again = cluster.giving_way(port, home, command)
    return RedisNode(
        f"redis-{place}",
        network.inside(place, command) if network else command,
        folder / f"redis-{port}.log",
        address=Node(host, port),
        place=place,
        again=network.inside(place, again) if network else again,
    )


def _edge(folder: Path, port: int, nodes: tuple[Node, ...], more: dict[str, str]) -> Part:
    environment = {
        "NIGHTSHELF_EDGE_PORT": str(port),
        "NIGHTSHELF_REDIS": node_list(nodes),
        "NIGHTSHELF_DRAIN_S": "0.1",
        **more,
    }
    return Part(f"edge-{port}", [_EDGE], folder / f"edge-{port}.log", environment)


def _end_all(parts: Sequence[Part]) -> None:
    for part in parts:
        _end(part)


def _end(part: Part) -> None:
    if part.frozen:
        part.thaw()
    part.kill()
