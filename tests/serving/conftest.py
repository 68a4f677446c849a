"""A real edge replica in a process of its own, before a real Redis Cluster."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.settings import Settings
from schemas.environment import Node, node_list
from serving.edge import Edge
from serving.lookup import Lookups
from serving.settings import Settings as EdgeSettings
from serving.shelf import EMPTY, read_view
from tests.conftest import free_ports
from tests.harness.releases import write_release

START_DEADLINE_S = 60


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Replica:
    """A running edge replica."""

    base: str
    process: subprocess.Popen[bytes]

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Return the answer to a request; header names have _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.base + path, headers=named, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def wait_for(self, condition: Callable[["Replica"], bool]) -> None:
        """Wait until the replica fulfils a condition; fails after a minute."""
        deadline = time.monotonic() + START_DEADLINE_S
        while not condition(self):
            assert time.monotonic() < deadline, "the replica did not get there"
            assert self.process.poll() is None, "the replica has ended"
            time.sleep(0.02)


@pytest.fixture
def settings(redis_nodes: tuple[Node, ...], tmp_path: Path) -> Settings:
    """Settings of the jobs for the session's cluster, emptied."""
    return Settings(artifacts=tmp_path, redis=redis_nodes, retire_grace_s=0)


@pytest.fixture
def go_live(settings: Settings) -> Callable[..., ReleaseFolder]:
    """A function that writes, publishes and activates a tiny release."""

    def do(partition: str = "2026-01-01", **choices: object) -> ReleaseFolder:
        folder = write_release(settings.artifacts, partition, **choices)  # type: ignore[arg-type]
        publish.run(folder, settings)
        activate.run(Artifacts(settings.artifacts), folder.release, settings)
        return folder

    return do


def start_replica(nodes: tuple[Node, ...], **environment: str) -> Replica:
    """Start a replica whose look-ups have much time, and wait until it is alive."""
    port = free_ports(1)[0]
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("nightshelf-edge"))],
        env={
            **os.environ,
            "NIGHTSHELF_EDGE_PORT": str(port),
            "NIGHTSHELF_REDIS": node_list(nodes),
            "NIGHTSHELF_POINTER_REFRESH_MS": "50",
            "NIGHTSHELF_DRAIN_S": "0.1",
            # On however busy a machine: a look-up that misses its deadline is answered with the fallback.
            "NIGHTSHELF_LOOKUP_DEADLINE_MS": "10000",
            **environment,
        },
    )
    replica = Replica(f"http://127.0.0.1:{port}", process)
    try:
        replica.wait_for(_is_alive)
    except BaseException:
        # Nobody else knows of it: it would outlive the tests.
        process.kill()
        process.wait()
        raise
    return replica


def _is_alive(replica: Replica) -> bool:
    try:
        return replica.get("/healthz").status == 200
    except OSError:
        # Not there yet, or on a busy machine too slow to be heard.
        return False


@asynccontextmanager
async def knowing_edge(settings: Settings, lookup_deadline_ms: int) -> AsyncIterator[Edge]:
    """An edge without a server, in this process, that has read the pointer once and follows it no more."""
    edge = Edge(EdgeSettings(redis=settings.redis, lookup_deadline_ms=lookup_deadline_ms))
    edge.lookups = Lookups(edge.settings, edge.metrics.observe_lookup)
    try:
        edge.view = await read_view(edge.lookups, "shelf", EMPTY)
        yield edge
    finally:
        await edge.lookups.close()


@contextmanager
def ending(running: Replica, within_s: float = 10) -> Iterator[Replica]:
    """Give a replica that is told to end with the block, and does so in time."""
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.wait(timeout=within_s)


@pytest.fixture
def replica(redis_nodes: tuple[Node, ...]) -> Iterator[Replica]:
    """A replica before an empty cluster."""
    with ending(start_replica(redis_nodes)) as running:
        yield running


def is_ready(replica: Replica) -> bool:
    """Say whether the replica is ready."""
    return replica.get("/readyz").status == 200
