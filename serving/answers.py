"""Bodies and headers of answers.

In: packed lists and where they came from. Out: JSON bytes and header pairs. Guarantees one form for a list wherever
it came from, one release in body, header and tag, and that an answer given because something is broken is not
cached.
"""

import json
from collections.abc import Iterable
from operator import add
from typing import Any

from schemas import values

Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", b"application/problem+json")
NO_STORE = (b"cache-control", b"no-store")


class _Books(dict[int, str]):
    """The text before each score, by book id; kept for ids of two bytes."""

    def __missing__(self, book_id: int) -> str:
        text = f'{{"book_id":{book_id},"score":'
        if book_id <= values.GREATEST_SHORT:
            self[book_id] = text
        return text


class _Scores(dict[int, str]):
    """The text of each score, by its 16 bits."""

    def __missing__(self, bits: int) -> str:
        text = self[bits] = f"{values.score_of(bits):.4g}}}"
        return text


#: Texts are made once: formatting ten numbers of each kind takes twice as long as looking them up.
_BOOKS, _SCORES = _Books(), _Scores()


def items(value: bytes, limit: int, id_bytes: int) -> str:
    """Return the first `limit` books of a packed list as the inside of a JSON array."""
    book_ids, scores = values.unpack_bits(value, limit, id_bytes)
    return ",".join(map(add, map(_BOOKS.__getitem__, book_ids), map(_SCORES.__getitem__, scores)))


def recommendations(
    user_id: int, release: str, source: str, reason: str | None, inside: str
) -> str:
    """Return the body of a user's recommendations; `inside` is what `items` made."""
    why = f'"{reason}"' if reason else "null"
    return (
        f'{{"user_id":{user_id},"release":"{release}","source":"{source}","reason":{why},'
        f'"items":[{inside}]}}'
    )


def tag_of(release: str, what: str, limit: int) -> str:
    """Return the strong ETag of a list: it names what the body depends on."""
    return f'"{release}.{what}.{limit}"'


def asked_tags(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return all If-None-Match lines of a request as the one list that they are (RFC 9110, 5.3), or nothing."""
    found = [value for name, value in headers if name == b"if-none-match"]
    return b", ".join(found).decode("latin-1") if found else ""


def matches(if_none_match: str, tag: str) -> bool:
    """Say whether a client's If-None-Match holds `tag`, compared weakly (RFC 9110, 8.8.3.2)."""
    if if_none_match.strip() == "*":
        return True
    return any(part.strip().removeprefix("W/") == tag for part in if_none_match.split(","))


def problem(status: int, title: str, detail: str, field: str | None = None) -> bytes:
    """Return an RFC 9457 body; `field` names the parameter that is wrong."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    }
    if field is not None:
        content["field"] = field
    return json.dumps(content, separators=(",", ":")).encode()
