"""Traffic on the stack through its load balancer, over TLS, while something happens to what is behind it.

In: the stack's public address and certificate. Out: how many requests were answered from a personal list, how many from
a fallback, and every one that failed. Guarantees that requests went through before, during and after what a test does,
and that an answer counts only if it has status 200 and the books that were asked for.
"""

import http.client
import json
import random
import select
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.deploy.stack.address import Address
from tests.harness.waiting import until

#: The least number of requests of an exercise.
LEAST = 10_000
_CLIENTS = 8
_BEFORE = 200
_CLOSED_MEANWHILE = (
    http.client.RemoteDisconnected,
    ConnectionResetError,
    BrokenPipeError,
    ssl.SSLEOFError,
)


@dataclass
class Traffic:
    """What clients saw; `failures` says what went wrong, one text a request.

    `sent_again` counts requests that met a kept connection which was being closed, and went out on a new one.
    """

    personal: int = 0
    fallback: int = 0
    sent_again: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def requests(self) -> int:
        """All requests, whatever became of them."""
        return self.personal + self.fallback + len(self.failures)

    def some_more(self) -> None:
        """Wait until further requests were answered."""
        before = self.requests
        until(lambda: self.requests >= before + _BEFORE, "requests go through", 300, 0.1)


@contextmanager
def traffic(address: Address, users: int) -> Iterator[tuple[Traffic, Callable[[], Traffic]]]:
    """Ask for lists by eight clients until the block ends; the function ends it once `LEAST` requests were made."""
    seen, stop = Traffic(), threading.Event()
    clients = [
        threading.Thread(target=_client, args=(address, users, seed, seen, stop))
        for seed in range(_CLIENTS)
    ]
    for client in clients:
        client.start()

    def finish() -> Traffic:
        seen.some_more()
        until(lambda: seen.requests >= LEAST, "enough requests", 900, 0.2)
        stop.set()
        for client in clients:
            client.join()
        return seen

    try:
        seen.some_more()
        yield seen, finish
    finally:
        stop.set()
        for client in clients:
            client.join()


def _client(address: Address, users: int, seed: int, seen: Traffic, stop: threading.Event) -> None:
    chance = random.Random(seed)
    connection = address.connection()
    fresh = True
    while not stop.is_set():
        # So many different answers that NGINX's memory of them does not stand in for the replicas.
        user, limit = chance.randint(1, users), chance.randint(1, 40)
        path = f"/v1/users/{user}/recommendations?limit={limit}"
        body = b""
        try:
            if _closed(connection, fresh=fresh):
                connection.close()
                fresh = True
            try:
                status, body = _asked(connection, path)
            except _CLOSED_MEANWHILE:
                # A kept connection may be closed at any time; an idempotent request is then sent once more on a
                # new one, as every browser and HTTP library does (RFC 9110, 9.2.2; RFC 9112, 9.3.1).
                if fresh:
                    raise
                connection.close()
                with seen.lock:
                    seen.sent_again += 1
                status, body = _asked(connection, path)
            fresh = False
            problem = "" if status == http.HTTPStatus.OK else f"{status} {body!r}"
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            fresh = True
            problem = repr(error)
        with seen.lock:
            _count(seen, problem, body, limit)
    connection.close()


def _asked(connection: http.client.HTTPSConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def _closed(connection: http.client.HTTPSConnection, *, fresh: bool) -> bool:
    """Say whether the other end has closed a kept connection, which shows as something to read."""
    return not fresh and (
        connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])
    )


def _count(seen: Traffic, problem: str, body: bytes, limit: int) -> None:
    if problem:
        seen.failures.append(problem)
        return
    answer = json.loads(body)
    if len(answer["items"]) != limit:
        seen.failures.append(f"{len(answer['items'])} of {limit} books: {body!r}")
    elif answer["reason"] in {"store_unavailable", "no_release"}:
        seen.fallback += 1
    else:
        seen.personal += 1
