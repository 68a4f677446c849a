"""Writes that go out together."""

import asyncio
import socket
from urllib.parse import urlsplit

from serving.onewrite import _Gathering
from tests.serving.conftest import Replica


class _Recorder(asyncio.Transport):
    """Keeps what is written and when it was closed."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.seen: list[bytes | str] = []

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.seen.append(data)

    def close(self) -> None:
        self.seen.append("closed")


def test_what_is_written_in_one_turn_is_one_write() -> None:
    """Head and body leave together, the next turn's apart, and closing loses nothing."""

    async def main() -> None:
        recorder = _Recorder()
        gathering = _Gathering(recorder, asyncio.get_running_loop())
        gathering.write(b"head ")
        gathering.write(b"body")
        assert recorder.seen == []
        await asyncio.sleep(0)
        gathering.write(b"next")
        await asyncio.sleep(0)
        gathering.write(b"last")
        gathering.close()
        await asyncio.sleep(0)
        assert recorder.seen == [b"head body", b"next", b"last", "closed"]
        assert gathering.get_extra_info("peername") == ("127.0.0.1", 1)

    asyncio.run(main())


def test_a_connection_that_closes_after_its_answer_gets_all_of_it(replica: Replica) -> None:
    """Two requests sent at once on one connection, the second of which asks to close, are both answered whole."""
    place = urlsplit(replica.base)
    request = b"GET /healthz HTTP/1.1\r\nHost: edge\r\n%s\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=20) as client:
        client.sendall(request % b"" + request % b"Connection: close\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b'"status":"alive"') + answer.count(b'"status": "alive"') == 2
    assert answer.endswith(b"}")


def test_bytes_that_are_no_request_are_told_so(replica: Replica) -> None:
    """The server's own 400 also comes before the connection closes."""
    place = urlsplit(replica.base)
    with socket.create_connection((place.hostname, place.port), timeout=20) as client:
        client.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert b"400 Bad Request" in b"".join(iter(lambda: client.recv(65536), b""))
