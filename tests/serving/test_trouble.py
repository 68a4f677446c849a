"""What an edge replica logs while it cannot read the store."""

import asyncio
import logging
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
import uvloop

from deploy.local import cluster
from schemas.environment import Node
from serving import trouble
from serving.edge import Edge
from serving.settings import Settings
from tests.conftest import free_ports
from tests.harness.waiting import until

SECRET = "s3cr3t-word"  # noqa: S105  # no secret


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A Redis that is no cluster."""
    folder, (port,) = tmp_path_factory.mktemp("lone"), free_ports(1)
    command = [cluster.server_program(), "--port", str(port), "--dir", str(folder), "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until(lambda: _listens(port), "a lone Redis answers")
    yield Node(cluster.HOST, port)
    process.terminate()
    process.wait(timeout=60)


def _listens(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def closing() -> Iterator[Node]:
    """A server that ends each connection at the first byte, as one does that expects TLS."""
    with socket.create_server((cluster.HOST, 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.recv(1)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield Node(cluster.HOST, server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def _lines(settings: Settings, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what a replica logs until it has logged a line and read the pointer twice more."""

    def logged() -> list[str]:
        return [found.getMessage() for found in caplog.records if found.name == trouble.__name__]

    async def main() -> None:
        edge = Edge(replace(settings, pointer_refresh_ms=10))
        await edge.start()
        try:
            give_up = time.monotonic() + 60
            while not logged():
                assert time.monotonic() < give_up, "nothing is logged"
                await asyncio.sleep(0.01)
            for _ in range(2):
                await edge._refresh()
        finally:
            await edge.stop()

    with caplog.at_level(logging.INFO, "serving"):
        uvloop.run(main())
    return logged()


def test_a_wrong_password(redis_nodes: tuple[Node, ...], caplog: pytest.LogCaptureFixture) -> None:
    """One line names the nodes, what Redis says and the two settings, and not the password."""
    settings = Settings(redis=redis_nodes, redis_user="edge", redis_password=SECRET)
    (line,) = _lines(settings, caplog)
    assert "invalid username-password pair" in line
    assert "NIGHTSHELF_REDIS_USER and NIGHTSHELF_REDIS_PASSWORD" in line
    assert str(redis_nodes[0]) in line
    assert SECRET not in caplog.text


def test_no_cluster(lone: Node, caplog: pytest.LogCaptureFixture) -> None:
    """One line says that this Redis is no cluster, and what to do."""
    (line,) = _lines(Settings(redis=(lone,)), caplog)
    assert f"{lone}: " in line
    assert "this Redis is no cluster: start it with cluster-enabled yes" in line


def test_no_route(caplog: pytest.LogCaptureFixture) -> None:
    """A name that nobody knows and a port where nobody listens stand in one line with their reasons."""
    nobody = Node(cluster.HOST, free_ports(1)[0])
    (line,) = _lines(Settings(redis=(Node("redis.invalid", 1), nobody)), caplog)
    assert "redis.invalid:1: " in line
    assert f"{nobody}: " in line
    assert "check NIGHTSHELF_REDIS and that the cluster runs" in line


def test_tls_to_a_plain_node(lone: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Which says nothing to a handshake: one line names the setting of TLS."""
    (line,) = _lines(Settings(redis=(lone,), redis_tls=True), caplog)
    assert "expects TLS: NIGHTSHELF_REDIS_TLS (or rediss://) is set" in line


def test_a_plain_connection_to_a_node_that_expects_tls(
    closing: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says that the node ends the connection, and that TLS may be why."""
    (line,) = _lines(Settings(redis=(closing,)), caplog)
    assert "check NIGHTSHELF_REDIS_TLS (or rediss://) if it expects TLS" in line


def test_no_release(redis_nodes: tuple[Node, ...], caplog: pytest.LogCaptureFixture) -> None:
    """A store that answers and has no pointer is logged with its namespace."""
    (line,) = _lines(Settings(redis=redis_nodes, namespace="other"), caplog)
    assert line.startswith("no release is live in the namespace other")


def test_once_and_then_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same message comes again after a minute, another one at once."""
    now = [1000.0]
    monkeypatch.setattr("serving.trouble.time.monotonic", lambda: now[0])
    seldom = trouble.Seldom()
    with caplog.at_level(logging.WARNING, trouble.__name__):
        for at in (1000.0, 1000.1, 1059.9, 1060.0, 1060.1):
            now[0] = at
            seldom.warn("lost at %s", at)
        seldom.warn("other")
    assert caplog.messages == ["lost at 1000.0", "lost at 1060.0", "other"]
