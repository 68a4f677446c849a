"""A real NGINX in a process of its own, and what it answers.

In: settings of NGINX and addresses of replicas. Out: a running NGINX that ends with the block. Guarantees that limits
are out of reach unless a test sets them, and that every answer of the API is as its description says.
"""

import http.client
import json
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.nginx import configuration
from deploy.nginx.settings import NginxSettings
from tests.conftest import free_ports
from tests.deploy.nginx.described import undescribed
from tests.harness.waiting import until

_PLENTY = 100_000
_NO_CONTENT = 204
#: Longer than a machine that does other things could make anything take.
PATIENCE_S = 60


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

    @property
    def cache(self) -> str:
        """How the cache of NGINX took part: MISS, HIT, STALE, EXPIRED ..., nothing where it did not."""
        return self.headers.get("x-cache", "")


def fetch(
    connection: http.client.HTTPConnection, path: str, method: str, headers: Mapping[str, str]
) -> Answer:
    """Return the answer to one request on a connection, which is closed."""
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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        answer = fetch(connection, path, method, named)
        if method != "OPTIONS" or answer.status != _NO_CONTENT:  # a preflight is the browser's
            told = undescribed(method, path, answer.status, answer.headers)
            assert not told, told
        return answer

    def raw(self, request: bytes, timeout_s: float = PATIENCE_S) -> bytes:
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

        until(look, f"a log line on {request_id}", PATIENCE_S)
        return found[-1]

    def handled(self) -> int:
        """Return how many requests came so far, also before reloads."""
        shown = self.get("/nginx-status").body.decode()
        found = re.search(r"^ \d+ \d+ (\d+) ", shown, flags=re.MULTILINE)
        assert found, shown
        return int(found[1])

    def workers(self) -> set[str]:
        """Return the process ids of the workers."""
        pid = self.process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    def errors(self) -> str:
        """Return what NGINX said on standard error."""
        return (self.folder / "logs" / "stderr.log").read_text(errors="replace")


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
        "nginx_read_timeout_ms": 20_000,
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
        front = Front(port, folder, process)
        try:
            # NGINX opens one port after the other: the last, TLS, may still be closed where the first answers.
            ports = _ports(settings)
            until(
                lambda: all(map(listens, ports)) or process.poll() is not None,
                f"NGINX listens at {ports}",
                PATIENCE_S,
            )
            assert process.poll() is None, front.errors()
            yield front
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)
            remains = configuration.cache_folder(settings, folder)
            subprocess.run(["rm", "-rf", str(remains)], check=True)


def _ports(settings: NginxSettings) -> list[int]:
    listened = [settings.nginx_listen, *([settings.nginx_tls_listen] if settings.tls else [])]
    return [int(address.rpartition(":")[2]) for address in listened]


def listens(port: int) -> bool:
    """Say whether anybody listens at a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
