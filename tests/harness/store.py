"""What tests of the store do to a cluster from outside: wipe it, look into it, put it back in time.

In: settings of a test's cluster. Out: changes and contents that the code under test had no part in.
"""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.cluster import RedisCluster

from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from jobs.store.client import Client
from schemas.environment import Node
from tests.harness.releases import write_release

CATALOG = "shelf:catalog"


@contextmanager
def connected(settings: Settings) -> Iterator[RedisCluster]:
    """Give a plain connection to the cluster."""
    with Client(settings.redis, decode_responses=False) as cluster:
        yield cluster


def wipe(settings: Settings) -> None:
    """Empty every node."""
    for node in settings.redis:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()


def configure(settings: Settings, name: str, value: str | int) -> None:
    """Set one option on every node."""
    for node in settings.redis:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.config_set(name, value)


def used_memory(nodes: tuple[Node, ...]) -> int:
    """Return the bytes that all nodes say they use."""
    total = 0
    for node in nodes:
        with redis.Redis(host=node.host, port=node.port) as client:
            total += int(client.info("memory")["used_memory"])
    return total


def all_keys(settings: Settings) -> set[str]:
    """Return every key of the cluster."""
    with connected(settings) as cluster:
        return {key.decode() for key in cluster.scan_iter()}


def fields(settings: Settings, key: str = CATALOG) -> dict[bytes, bytes]:
    """Return a hash."""
    with connected(settings) as cluster:
        found: dict[bytes, bytes] = cluster.hgetall(key)  # type: ignore[assignment]  # bytes are asked for
        return found


def put_back(settings: Settings, content: dict[bytes, bytes], key: str = CATALOG) -> None:
    """Make a hash what it was: what a failover to a Redis replica that lagged behind does."""
    with connected(settings) as cluster:
        cluster.delete(key)
        cluster.hset(key, mapping=content)  # type: ignore[arg-type]  # bytes are fine


def end_leases(settings: Settings) -> None:
    """Make every lease run out, as time would."""
    for name, value in fields(settings).items():
        if name.startswith(b"release:"):
            record = json.loads(value)
            if "lease_until_ms" in record:
                record["lease_until_ms"] = 1
                with connected(settings) as cluster:
                    cluster.hset(CATALOG, name, json.dumps(record))


def go_live(artifacts: Artifacts, settings: Settings, partition: str, variant: int = 0) -> str:
    """Publish and activate a tiny release and return its id."""
    folder = write_release(artifacts.root, partition, variant=variant)
    publish.run(folder, settings)
    activate.run(artifacts, folder.release, settings)
    return folder.release


def pid_of(node: Node) -> int:
    """Return the process id of a node's server."""
    with redis.Redis(host=node.host, port=node.port) as client:
        return int(client.info("server")["process_id"])


@contextmanager
def frozen(node: Node) -> Iterator[None]:
    """Freeze a node's server until the block ends."""
    pid = pid_of(node)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
