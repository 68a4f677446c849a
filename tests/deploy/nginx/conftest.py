"""Real NGINX before real edge replicas before a real Redis Cluster with a published release."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest
import redis

from deploy.nginx import configuration
from deploy.nginx.settings import NginxSettings
from jobs import activate, publish
from jobs.release.folder import Artifacts, ReleaseFolder
from jobs.runtime.settings import Settings
from schemas.environment import Node
from tests.conftest import free_ports
from tests.releases import write_release
from tests.waiting import until

#: Replicas' max-age in these tests; stale-while-revalidate is as long again.
MAX_AGE_S = 1

_PLENTY = 100_000
_EDGE = Path(sys.executable).with_name("nightshelf-edge")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; header names are in lower case, repeated ones joined."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def _fetch(connection: http.client.HTTPConnection, path: str, method: str, headers: Any) -> Answer:
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        joined: dict[str, str] = {}
        for name, value in response.getheaders():
            key = name.lower()
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
        return Answer(response.status, joined, response.read())
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


@dataclass
class Edge:
    """Running edge replicas on Unix sockets, and the store they read."""

    settings: Settings
    folder: Path
    replicas: dict[Path, subprocess.Popen[bytes]] = field(default_factory=dict)

    def go_live(self, partition: str = "2026-01-01", **choices: Any) -> ReleaseFolder:
        """Write, publish and activate a small release."""
        release = write_release(self.settings.artifacts, partition, **choices)
        publish.run(release, self.settings)
        activate.run(Artifacts(self.settings.artifacts), release.release, self.settings)
        return release

    def get(self, replica: Path, path: str) -> Answer:
        """Ask one replica directly."""
        return _fetch(_UnixConnection(replica), path, "GET", {})

    def serves(self, replica: Path) -> str | None:
        """Return the release that a replica serves, None while it does not answer."""
        try:
            answer = self.get(replica, "/readyz")
        except OSError:
            return None
        return str(answer.json["release"]) if answer.status == 200 else None

    def start(self, replica: Path) -> None:
        """Start the replica of a socket; see `wait` for when it answers. Its log stands beside the socket."""
        with replica.with_suffix(".log").open("ab") as log:
            self.replicas[replica] = self._process(replica, log)

    def _process(self, replica: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(_EDGE)],
            stderr=log,
            env={
                **os.environ,
                "NIGHTSHELF_EDGE_SOCKET": str(replica),
                "NIGHTSHELF_REDIS": ",".join(f"{n.host}:{n.port}" for n in self.settings.redis),
                "NIGHTSHELF_POINTER_REFRESH_MS": "50",
                "NIGHTSHELF_CACHE_MAX_AGE_S": str(MAX_AGE_S),
                # A busy machine must not turn look-ups into fallbacks here.
                "NIGHTSHELF_LOOKUP_DEADLINE_MS": "5000",
            },
        )

    def wait(self, release: str) -> None:
        """Wait until every replica serves a release."""
        for replica in self.replicas:
            until(lambda replica=replica: self.serves(replica) == release, f"{release} served")  # type: ignore[misc]

    def stop(self) -> None:
        """End all replicas."""
        for process in self.replicas.values():
            process.kill()
            process.wait(timeout=10)

    @property
    def addresses(self) -> str:
        """The replicas as NGINX is told of them."""
        return ",".join(f"unix:{replica}" for replica in self.replicas)


@dataclass(frozen=True)
class Front:
    """A running NGINX."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def base(self) -> str:
        """The address without a path."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Return the answer to a request whose path goes out as it is; header names have _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        return _fetch(connection, path, method, named)

    def raw(self, request: bytes, timeout_s: float = 20) -> bytes:
        """Send bytes and return everything that comes until NGINX closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            received = b""
            try:
                connection.sendall(request)
                while chunk := connection.recv(65536):
                    received += chunk
            except ConnectionError:
                pass
            return received

    def logged(self, request_id: str) -> dict[str, Any]:
        """Return the access log's line on a request, once it is written."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            text = (self.folder / "logs" / "access.log").read_text(encoding="utf-8")
            found[:] = [json.loads(line) for line in text.splitlines() if request_id in line]
            return bool(found)

        until(look, f"a log line on {request_id}")
        return found[-1]


@contextmanager
def running_edge(
    nodes: tuple[Node, ...], folder: Path, replicas: int = 2, **choices: Any
) -> Iterator[Edge]:
    """Run replicas before an emptied cluster with one release."""
    for node in nodes:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()
    settings = Settings(artifacts=folder / "artifacts", redis=nodes, retire_grace_s=0)
    edge = Edge(settings, folder)
    release = edge.go_live(**choices).release
    try:
        for number in range(replicas):
            edge.start(folder / f"{number}.sock")
        edge.wait(release)
        yield edge
    finally:
        edge.stop()


def nginx_settings(replicas: str, port: int, **choices: Any) -> NginxSettings:
    """Return settings with limits that no test reaches unless it sets them."""
    plenty: dict[str, Any] = {
        "nginx_listen": f"127.0.0.1:{port}",
        "nginx_replicas": replicas,
        "nginx_workers": "2",
        "nginx_rate_per_s": _PLENTY,
        "nginx_burst": _PLENTY,
        "nginx_key_rate_per_s": _PLENTY,
        "nginx_key_burst": _PLENTY,
        "nginx_cards_per_list": 1,
        "nginx_connections_per_client": 1000,
        "nginx_cache_mb": 16,
        "nginx_read_timeout_ms": 6000,
    }
    return NginxSettings(**{**plenty, **choices})


@contextmanager
def running_front(folder: Path, replicas: str, **choices: Any) -> Iterator[Front]:
    """Run NGINX with the configuration for some settings; its errors go to logs/stderr.log."""
    port = free_ports(1)[0]
    settings = nginx_settings(replicas, port, **choices)
    configuration.write(folder, settings)
    with (folder / "logs" / "stderr.log").open("wb") as errors:
        process = subprocess.Popen(configuration.command(folder), stderr=errors)
        try:
            until(lambda: _listens(port) or process.poll() is not None, "NGINX listens")
            assert process.poll() is None, (folder / "logs" / "stderr.log").read_text()
            yield Front(port, folder, process)
        finally:
            process.terminate()
            process.wait(timeout=10)
            remains = configuration.cache_folder(settings, folder)
            subprocess.run(["rm", "-rf", str(remains)], check=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Load:
    """What wrk saw: answers, and of these failed ones (no answer, or not 2xx or 3xx)."""

    requests: int
    failed: int
    shown: str


_SCRIPT = """
math.randomseed(7)
request = function()
  return wrk.format("GET", "/v1/users/" .. math.random(1, 30) .. "/recommendations?limit=" .. math.random(1, 10))
end
done = function(summary)
  local e = summary.errors
  io.write(string.format("RESULT %d %d\\n", summary.requests, e.status + e.read + e.write + e.timeout + e.connect))
end
"""


@contextmanager
def load(front: Front, *options: str) -> Iterator[Callable[[], Load]]:
    """Load NGINX with 16 connections in the background until the given function is called, which says what was seen."""
    script = front.folder / "load.lua"
    script.write_text(_SCRIPT)
    command = ["wrk", "-t1", "-c16", "-d600s", "-s", str(script), *options, front.base]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def finish() -> Load:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=30)
        found = re.search(r"RESULT (\d+) (\d+)", shown)
        assert found, shown
        return Load(int(found[1]), int(found[2]), shown)

    try:
        time.sleep(0.5)
        yield finish
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def edge(
    redis_cluster: tuple[Node, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    """Two replicas that serve one release of 30 users and 40 books to the tests of a module."""
    with running_edge(redis_cluster, tmp_path_factory.mktemp("edge"), length=40) as running:
        yield running


@pytest.fixture(scope="module")
def front(edge: Edge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """NGINX with limits that no test reaches."""
    with running_front(tmp_path_factory.mktemp("nginx"), edge.addresses) as running:
        yield running


@pytest.fixture
def start_front(edge: Edge, tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """A function that runs another NGINX before the module's replicas, with settings of its own."""
    with ExitStack() as stack:

        def do(**choices: Any) -> Front:
            folder = tmp_path / f"nginx{len(list(tmp_path.iterdir()))}"
            return stack.enter_context(running_front(folder, edge.addresses, **choices))

        yield do


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what waits for a running NGINX to `make test-all`: on a busy machine its waits are too short."""
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here and item.path.name != "test_configuration.py":
            item.add_marker(pytest.mark.slow)
