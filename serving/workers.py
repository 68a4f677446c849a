"""Several worker processes behind one address, and one answer to a scrape for all of them.

In: a folder that the workers of one replica share, and each worker's own metrics. Out: one text in which every series
carries the worker's number. Guarantees that a scrape sees every living worker whichever it reaches, that counters of a
worker never mix with those of another (`rate` sees each restart), and that a request pays nothing for it: workers ask
each other over Unix sockets, and only at a scrape. prometheus_client's own mode for several processes writes each
count to a memory map (4 microseconds more a request) and cannot compute a gauge at a scrape.
"""

import asyncio
import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import IO

_ANSWER_WITHIN_S = 0.5
_MOST = 1024
_HELP = b"# HELP "


class Siblings:
    """The workers of one replica, seen from one of them."""

    def __init__(self, folder: Path, own: Callable[[], bytes]) -> None:
        """`own` gives this worker's metrics."""
        self._folder = folder
        self._own = own
        self._lock: IO[str]
        self._server: asyncio.Server

    async def start(self) -> None:
        """Take the lowest free number and answer the siblings."""
        number = self._claim()
        path = self._folder / f"{number}.sock"
        # What a worker left behind that was killed.
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._tell, path)

    async def stop(self) -> None:
        """Answer no more."""
        self._server.close()
        self._lock.close()

    async def text(self) -> bytes:
        """Return the metrics of all workers that answer, each series with its `worker`."""
        paths = sorted(self._folder.glob("*.sock"), key=lambda path: int(path.stem))
        answers = await asyncio.gather(*(_ask(path) for path in paths))
        return merged({path.stem: text for path, text in zip(paths, answers, strict=True) if text})

    def _claim(self) -> int:
        for number in range(_MOST):
            lock = (self._folder / f"{number}.lock").open("w")
            try:
                # Held until this process ends, however it ends.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self._lock = lock
            return number
        raise RuntimeError(f"more than {_MOST} workers in {self._folder}")

    async def _tell(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._own())
        await writer.drain()
        writer.close()


async def _ask(path: Path) -> bytes:
    """Return a worker's metrics, nothing if it does not answer: it is ending, or it hangs."""
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""


def merged(texts: dict[str, bytes]) -> bytes:
    """Return one exposition out of several of the same families; `texts` by worker."""
    families: dict[bytes, list[bytes]] = {}
    for worker, text in texts.items():
        label = f'worker="{worker}"'.encode()
        lines: list[bytes] = []
        for line in text.splitlines():
            if line.startswith(_HELP):
                lines = families.setdefault(line, [])
            elif line.startswith(b"#"):
                if line not in lines:
                    lines.append(line)
            else:
                lines.append(_labelled(line, label))
    return b"".join(b"\n".join([head, *lines]) + b"\n" for head, lines in families.items())


def _labelled(line: bytes, label: bytes) -> bytes:
    name, brace, rest = line.partition(b"{")
    if brace and b" " not in name:
        return name + b"{" + label + b"," + rest
    name, _, value = line.partition(b" ")
    return name + b"{" + label + b"} " + value
