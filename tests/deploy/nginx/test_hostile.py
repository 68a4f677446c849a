"""Ten thousand hostile requests over raw sockets: an answer that is described, or a closed connection, and no trace."""

import re
import socket
import time
from collections import Counter
from collections.abc import Callable

from deploy.nginx.configuration import PROBLEMS
from tests.deploy.nginx import hostile
from tests.deploy.nginx.described import undescribed
from tests.deploy.nginx.front import PATIENCE_S, Front
from tests.deploy.nginx.replicas import Edge
from tests.harness.memory import resident_kib
from tests.harness.waiting import until

StartFront = Callable[..., Front]

_COUNT = 10_000
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_TARGET = re.compile(rb"(GET|HEAD) (/[!-~]*) HTTP/1\.[01]\r\n")
#: What a replica may grow by while its allocator and caches settle; a leak of 1 kB a request would be 10 MiB.
_GROWN_KIB = 6 * 1024


def _exchange(front: Front, request: bytes) -> bytes:
    """Send a request, return what is answered until NGINX closes.

    What may leave NGINX waiting for more is told that nothing comes. Not so a whole request: NGINX takes that for a
    client that has gone, and whether the replica's answer came first would be chance.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE_S) as connection:
        try:
            connection.sendall(request)
            if not request.endswith(hostile.END):
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionError:
            pass  # closed while more came: of a header that is too long
    return received


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }


def _end(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def _resident_kib(edge: Edge) -> list[int]:
    return [resident_kib(process.pid) for process in edge.replicas.values()]


def _sent(front: Front, seed: int, count: int) -> Counter[int]:
    """Send requests, hold each answer to the description, return how often each status came (0: closed)."""
    seen: Counter[int] = Counter()
    for request in hostile.requests(seed, count):
        received = _exchange(front, request)
        match = _STATUS.match(received)
        status = int(match[1]) if match else 0
        seen[status] += 1
        if match is None:
            # HTTP/0.9 has no status line; NGINX answers its errors and the page in it as bare bytes.
            assert (
                not received or b"HTTP/" not in request.partition(b"\n")[0] or b"HTTP/0" in request
            ), (request, received)
            continue
        assert status < 500 or status == 503, (request, received)
        assert status in {200, 206, 304, *PROBLEMS} - {503}, (request, received)
        head, _, body = received.partition(b"\r\n\r\n")
        if status >= 400:
            assert b"Content-Type: application/problem+json" in head, (request, received)
        # One request, one answer: nothing that was smuggled got one of its own, and nothing internal is shown.
        assert received.count(b"HTTP/1.1 ") == 1, (request, received)
        assert b"nightshelf_edge_requests" not in body, request
        target = _TARGET.match(request)
        if target and status != 400:
            told = undescribed(target[1].decode(), target[2].decode(), status, _headers(head))
            assert not told, (request, told)
    return seen


def test_ten_thousand_hostile_requests(front: Front, edge: Edge) -> None:
    """Only 200, 304 and described 4xx; replicas do not grow, and everybody goes on as before."""
    # First some, so that what is made once is made.
    _sent(front, seed=1, count=500)
    before = _resident_kib(edge)
    pids = [process.pid for process in edge.replicas.values()]
    workers = front.workers()
    seen = _sent(front, seed=2, count=_COUNT)
    assert {200, 400, 404, 405, 414, 431} <= set(seen), seen
    assert [process.pid for process in edge.replicas.values() if process.poll() is None] == pids
    assert front.workers() == workers
    for old, new in zip(before, _resident_kib(edge), strict=True):
        assert new - old < _GROWN_KIB
    assert front.get("/v1/users/7/recommendations").json["source"] == "als"


def test_slow_clients_are_let_go_and_hold_nobody_up(front: Front) -> None:
    """A head or a body that does not come is waited for five seconds; meanwhile everybody else is answered."""
    starts = (b"GET /v1/pop", b"GET /v1/popular HTTP/1.1\r\nHost: a\r\nX-Slow: ",
              b"GET /v1/popular HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")  # fmt: skip
    connections = [
        socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE_S) for _ in range(60)
    ]
    try:
        for number, connection in enumerate(connections):
            connection.sendall(starts[number % len(starts)])
        began = time.monotonic()
        for user in range(1, 21):
            assert front.get(f"/v1/users/{user}/recommendations").status == 200
        assert {_end(connection) for connection in connections} == {b""}
        assert time.monotonic() - began > 3
    finally:
        for connection in connections:
            connection.close()
    until(lambda: front.get("/healthz").status == 200, "it answers", PATIENCE_S)
