"""NGINX in its container follows its replicas: who leaves is left first."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.nginx.follow import staying
from deploy.nginx.settings import listed
from tests.conftest import free_ports
from tests.deploy.nginx.front import PATIENCE_S, Front
from tests.deploy.nginx.replicas import Edge
from tests.harness.waiting import until


@contextmanager
def _following(folder: Path, replicas: str) -> Iterator[tuple[Front, Path]]:
    """NGINX as its container runs it: (NGINX, its folder)."""
    port = free_ports(1)[0]
    folder.mkdir()
    environment = {
        **os.environ,
        "NIGHTSHELF_NGINX_LISTEN": f"127.0.0.1:{port}",
        "NIGHTSHELF_NGINX_REPLICAS": replicas,
        "NIGHTSHELF_NGINX_CACHE": "false",
        "NIGHTSHELF_NGINX_RATE_PER_S": "100000",
        "NIGHTSHELF_NGINX_BURST": "100000",
        "NIGHTSHELF_NGINX_READ_TIMEOUT_MS": "3000",
    }
    command = [sys.executable, "-m", "deploy.nginx.follow", str(folder)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            front = Front(port, folder, process)
            until((folder / "replicas").exists, "NGINX is followed", PATIENCE_S)
            yield front, folder
        finally:
            process.terminate()


@pytest.fixture
def followed(edge: Edge, tmp_path: Path) -> Iterator[tuple[Front, Path]]:
    """The same before two real replicas."""
    with _following(tmp_path / "nginx", edge.addresses) as (front, folder):
        until(lambda: _answers(front), "NGINX answers", PATIENCE_S)
        yield front, folder


def _answers(front: Front) -> bool:
    try:
        return front.get("/v1/popular").status == 200
    except OSError:
        return False


def _asked(front: Front, folder: Path, user: int) -> str:
    """Return which replica answered a request of its own."""
    name = f"followed-{user}"
    assert front.get(f"/v1/users/{user}/recommendations", X_Request_Id=name).status == 200
    found: list[str] = []

    def logged() -> bool:
        lines = (folder / "logs/access.log").read_text().splitlines()
        found.extend(json.loads(line)["replica"] for line in lines if name in line)
        return bool(found)

    until(logged, "the request is logged", PATIENCE_S)
    return found[0]


def test_a_replica_that_leaves_is_asked_no_more(edge: Edge, followed: tuple[Front, Path]) -> None:
    """Once `replicas` does not name it, every request goes to the other; afterwards both are asked again."""
    front, folder = followed
    one, other = listed(edge.addresses)
    (folder / "leaving").write_text(f"{one}\n")
    taken_up = folder / "replicas"
    until(lambda: taken_up.read_text().split() == [other], "one is left", PATIENCE_S)
    assert {_asked(front, folder, user) for user in range(1, 9)} == {other}
    (folder / "leaving").unlink()
    until(lambda: set(taken_up.read_text().split()) == {one, other}, "both are asked", PATIENCE_S)


class _Replica(http.server.BaseHTTPRequestHandler):
    """Answers as a replica that has read its release, or has not yet."""

    def do_GET(self) -> None:
        status = 200 if self.server.ready.is_set() else 503  # type: ignore[attr-defined]  # see `_replica`
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def _replica() -> Iterator[tuple[str, threading.Event]]:
    """A replica on loopback: (its address, whether it is ready)."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Replica)
    ready = threading.Event()
    server.ready = ready  # type: ignore[attr-defined]  # what the handler says
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", ready
    finally:
        server.shutdown()
        server.server_close()


def test_a_replica_is_asked_once_it_is_ready(tmp_path: Path) -> None:
    """Beside one that answers, one that has read no release is left out; where none has, all are asked."""
    with _replica() as (first, first_ready), _replica() as (second, second_ready):
        with _following(tmp_path / "nginx", f"{first},{second}") as (_, folder):
            taken_up = folder / "replicas"
            assert set(taken_up.read_text().split()) == {first, second}
        first_ready.set()
        with _following(tmp_path / "again", f"{first},{second}") as (_, folder):
            taken_up = folder / "replicas"
            assert taken_up.read_text().split() == [first]
            second_ready.set()
            until(lambda: len(taken_up.read_text().split()) == 2, "the second, too", PATIENCE_S)


def test_the_last_one_does_not_leave() -> None:
    """Where all are said to leave, all are asked: one that is going is better than none."""
    assert staying("10.0.0.1:8081,10.0.0.2:8081", "10.0.0.1:8081\n") == "10.0.0.2:8081"
    assert staying("10.0.0.1:8081", "10.0.0.1:8081") == "10.0.0.1:8081"
    assert staying("", "10.0.0.1:8081") == ""
