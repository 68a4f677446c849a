"""A client of the edge that asks at a fixed rate, whatever becomes of its requests.

In: a port, a rate, users, a seed, a file. Out: pickled `Exchange`s, one after another in the file, until SIGTERM.
Guarantees that a request is sent when it is due, also while earlier ones wait, and that each gets an entry however it
ended. A process of its own, so that nothing else takes its time.
"""

import argparse
import asyncio
import pickle
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import uvloop

from tests.faults.exchange import Exchange

#: A request without an answer for so long has none.
GIVEN_UP_S = 10.0
_CLIENTS = 20
_BATCH_SHARE, _UNKNOWN_SHARE, _CONDITIONAL_SHARE = 0.1, 0.05, 0.1
_BATCH = 20
_LIMITS = (10, 10, 10, 3, 100)
_HOST = "127.0.0.1"

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class _Pool:
    """Open connections that nobody uses."""

    port: int
    idle: list[_Streams] = field(default_factory=list)

    async def take(self) -> tuple[_Streams, bool]:
        """Return a connection and whether it is a used one."""
        while self.idle:
            streams = self.idle.pop()
            if not streams[0].at_eof():
                return streams, True
            streams[1].close()
        return await asyncio.open_connection(_HOST, self.port), False


@dataclass
class Client:
    """Everything that is asked, and what came of it."""

    pool: _Pool
    rate: float
    users: int
    randomness: random.Random
    out: IO[bytes]
    tags: dict[int, str] = field(default_factory=dict)

    async def run(self, stopped: asyncio.Event) -> None:
        """Ask until told to stop, then wait for what is under way."""
        begun, number = time.monotonic(), 0
        under_way: set[asyncio.Task[None]] = set()
        while not stopped.is_set():
            due_at = begun + number / self.rate
            await asyncio.sleep(max(0.0, due_at - time.monotonic()))
            task = asyncio.create_task(self._ask(number, due_at))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
        await asyncio.gather(*under_way)
        self.out.flush()

    async def _ask(self, number: int, due_at: float) -> None:
        wanted = self._wanted(number, due_at)
        status, body, told = 0, b"", ""
        headers: dict[str, str] = {}
        try:
            async with asyncio.timeout(GIVEN_UP_S):
                status, headers, body = await self._exchange(wanted)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            told = repr(error)
        done_at = time.monotonic()
        if status == 200 and not wanted.batch and wanted.limit == _LIMITS[0]:
            self.tags[wanted.users[0]] = headers.get("etag", "")
        answer = Exchange(
            wanted.client,
            wanted.users,
            wanted.limit,
            wanted.batch,
            wanted.if_none_match,
            due_at,
            done_at,
            status,
            headers,
            body,
            told,
        )
        pickle.dump(answer, self.out)

    def _wanted(self, number: int, due_at: float) -> Exchange:
        """Return what is asked next, as an exchange without an answer."""
        chance = self.randomness
        batch = chance.random() < _BATCH_SHARE
        users = [
            self.users + 1 + chance.randrange(self.users)
            if chance.random() < _UNKNOWN_SHARE
            else 1 + chance.randrange(self.users)
            for _ in range(_BATCH if batch else 1)
        ]
        limit = chance.choice(_LIMITS)
        known = "" if batch or limit != _LIMITS[0] else self.tags.get(users[0], "")
        tag = known if chance.random() < _CONDITIONAL_SHARE else ""
        one_each = tuple(dict.fromkeys(users))
        return Exchange(number % _CLIENTS, one_each, limit, batch, tag, due_at, due_at, 0, {}, b"")

    async def _exchange(self, wanted: Exchange) -> tuple[int, dict[str, str], bytes]:
        """Send a request on an open connection; once more on a new one if that had been closed meanwhile."""
        condition = f"If-None-Match: {wanted.if_none_match}\r\n" if wanted.if_none_match else ""
        request = f"GET {wanted.path} HTTP/1.1\r\nHost: edge\r\n{condition}\r\n".encode()
        while True:
            (reader, writer), used = await self.pool.take()
            try:
                writer.write(request)
                status, headers = _head(await reader.readuntil(b"\r\n\r\n"))
                body = await reader.readexactly(int(headers.get("content-length", 0)))
            except (OSError, asyncio.IncompleteReadError) as error:
                writer.close()
                # RFC 9110, 9.2.2: a closed idle connection says nothing about the request.
                if used and not getattr(error, "partial", b""):
                    continue
                raise
            except BaseException:
                writer.close()
                raise
            if headers.get("connection") == "close":
                writer.close()
            else:
                self.pool.idle.append((reader, writer))
            return status, headers, body


def _head(raw: bytes) -> tuple[int, dict[str, str]]:
    status, *lines = raw.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


def recorded(file: IO[bytes]) -> Iterator[Exchange]:
    """Yield the exchanges that stand in a file from its present place on; a half-written one is left for later."""
    while True:
        place = file.tell()
        try:
            yield pickle.load(file)  # noqa: S301  # our own client's
        except (EOFError, pickle.UnpicklingError):
            file.seek(place)
            return


async def _main(client: Client) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await client.run(stopped)


def main() -> None:
    """Ask until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--users", type=int, required=True, help="users 1 to this have lists")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", required=True)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with Path(given.out).open("wb") as out:
        uvloop.run(_main(Client(_Pool(given.port), given.rate, given.users, chance, out)))


def command(port: int, rate: float, users: int, seed: int, out: Path) -> list[str]:
    """Return the command line that runs a client."""
    options = {"port": port, "rate": rate, "users": users, "seed": seed, "out": out}
    pairs = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", "tests.faults.client", *pairs]


if __name__ == "__main__":
    main()
