"""Requests as nobody should send them, generated from a seed.

In: a seed and a number. Out: bytes to send on a connection. Guarantees the same bytes for the same seed, and
that each kind of attack comes equally often.
"""

import random
from collections.abc import Callable, Iterator

Make = Callable[[random.Random], bytes]

_PATHS = [
    b"/", b"/v1/popular", b"/v1/users/7/recommendations", b"/v1/recommendations", b"/v1/books/3",
    b"/v1/books/3/similar", b"/healthz", b"/openapi.json", b"/shelf.js", b"/v1", b"/no",
]  # fmt: skip
END = b"Host: shelf\r\nConnection: close\r\n\r\n"
_ODD = [
    b"%", b"%zz", b"%00", b"%0d%0a", b"%2e%2e/", b"../", b"..;/", b"//", b"\\", b"%c0%ae", b"%ff", b"\x00",
        b"\xff", b"\x7f", b"'", b'"', b"<script>", b"${x}", b";", b"#", b" ", b"\t", b"%252e", b"*"]  # fmt: skip
_METHODS = [b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND", b"get", b"G\x00T",
            b"GETGET", b"", b"\xff", b"PRI", b"M" * 300]  # fmt: skip
_NUMBERS = [b"0", b"-1", b"00", b"+1", b"1e9", b"0x10", b"1.5", b"NaN", b"2147483647", b"2147483648", b"9" * 400,
            b"\xd9\xa1", b"%D9%A1", b"1%00", b" 1", b"1_000"]  # fmt: skip


def _line(path: bytes, method: bytes = b"GET", protocol: bytes = b"HTTP/1.1") -> bytes:
    return method + b" " + path + b" " + protocol + b"\r\n"


def _bad_escapes(chance: random.Random) -> bytes:
    path = chance.choice(_PATHS)
    for _ in range(chance.randint(1, 4)):
        place = chance.randint(1, len(path))
        path = path[:place] + chance.choice(_ODD) + path[place:]
    return _line(path) + END


def _numbers(chance: random.Random) -> bytes:
    number, other = chance.choice(_NUMBERS), chance.choice(_NUMBERS)
    path = chance.choice([
        b"/v1/users/%b/recommendations?limit=%b", b"/v1/books/%b/similar?limit=%b",
        b"/v1/recommendations?user_id=%b&limit=%b", b"/v1/popular?limit=%b&tag=%b",
        b"/v1/books/%b?%b", b"/v1/users/%b/recommendations?release=%b",
    ])  # fmt: skip
    return _line(path % (number, other)) + END


def _long(chance: random.Random) -> bytes:
    size = int(10 ** chance.uniform(2, 5))
    kind = chance.randrange(4)
    if kind == 0:
        return _line(chance.choice(_PATHS) + b"/" + b"a" * size) + END
    if kind == 1:
        return _line(chance.choice(_PATHS) + b"?user_id=1" + b"&user_id=1" * (size // 10)) + END
    if kind == 2:
        return _line(chance.choice(_PATHS)) + b"X-Long: " + b"a" * size + b"\r\n" + END
    return _line(chance.choice(_PATHS)) + b"X-Many: a\r\n" * (size // 11) + END


def _methods(chance: random.Random) -> bytes:
    return _line(chance.choice(_PATHS), chance.choice(_METHODS)) + END


def _smuggling(chance: random.Random) -> bytes:
    inner = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    lengths = [
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % len(inner),
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\tchunked\r\n", b"Transfer-Encoding: chunked, gzip\r\n",
        b"Content-Length: %d\r\nContent-Length: 0\r\n" % len(inner), b"Content-Length: +5\r\n",
        b"Content-Length: -1\r\n", b"Content-Length: 0x10\r\n", b"Content-Length: 99999999999999999999\r\n",
        b"Content-Length: %d\r\n" % len(inner), b"Content-Length\x00: 5\r\n", b" Content-Length: 5\r\n",
    ]  # fmt: skip
    return _line(chance.choice(_PATHS)) + chance.choice(lengths) + END + chance.choice(
        [inner, b"0\r\n\r\n" + inner, b"ffffffffffffffff\r\n" + inner, b"-1\r\n" + inner]
    )  # fmt: skip


def _headers(chance: random.Random) -> bytes:
    name = chance.choice([
        b"If-None-Match", b"If-Match", b"If-Modified-Since", b"Range", b"X-Request-Id", b"X-Api-Key", b"Authorization",
        b"X-Forwarded-For", b"Accept-Encoding", b"Cookie", b"Origin", b"Expect", b"Upgrade", b"traceparent",
        b"X-Accel-Redirect", b"Host", b"Bad Name", b"", b"\x00",
    ])  # fmt: skip
    value = b"".join(
        chance.choice([*_ODD, b"W/", b'"', b",", b"*", b"bytes=0-1,5-"])
        for _ in range(chance.randint(0, 6))
    )
    return _line(chance.choice(_PATHS)) + name + b": " + value + b"\r\n" + END


def _protocols(chance: random.Random) -> bytes:
    protocol = chance.choice([
        b"HTTP/0.9", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.", b"http/1.1", b"", b"FTP/1.1",
        b"HTTP/1.1 HTTP/1.1", b"HTTP/11111",
    ])  # fmt: skip
    return _line(chance.choice(_PATHS), protocol=protocol) + chance.choice(
        [END, b"\r\n", b"Connection: close\r\n\r\n"]
    )


def _noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randint(1, 300)) + b"\r\n\r\n"


def _cut_short(chance: random.Random) -> bytes:
    whole = chance.choice([_bad_escapes, _numbers, _methods, _headers])(chance)
    return whole[: chance.randrange(len(whole))]


KINDS: tuple[Make, ...] = (
    _bad_escapes, _numbers, _long, _methods, _smuggling, _headers, _protocols, _noise, _cut_short,
)  # fmt: skip


def requests(seed: int, count: int) -> Iterator[bytes]:
    """Give `count` requests."""
    chance = random.Random(seed)
    for number in range(count):
        yield KINDS[number % len(KINDS)](chance)
