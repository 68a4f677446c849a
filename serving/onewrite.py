"""An answer's head and body in one write.

In: what uvicorn writes. Out: the same bytes on the socket, those of one turn of the event loop together. Guarantees
that nothing is held back when a connection closes. Uvicorn writes head and body apart, and uvloop makes each write a
system call: 17,254 writes for 8,596 requests on a constant.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class OneWrite(HttpToolsProtocol):
    """Uvicorn's HTTP protocol over a transport that gathers writes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin a connection."""
        super().connection_made(_Gathering(transport, self.loop))  # type: ignore[arg-type]  # has what is used of one


class _Gathering:
    """A transport that writes once a turn."""

    __slots__ = ("_loop", "_parts", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(part)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()
