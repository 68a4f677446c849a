"""Bodies and headers of answers.

In: packed lists and where they came from. Out: JSON bytes and header pairs. Guarantees one form for a list wherever
it came from, one release in body, header and tag, and that an answer given because something is broken is not
cached.
"""

import json
from functools import lru_cache
from typing import Any

from schemas import values

Header = tuple[bytes, bytes]

ALS, POPULARITY = "als", "popularity"

UNKNOWN_USER = "unknown_user"
SHORT_HISTORY = "short_history"
STORE_UNAVAILABLE = "store_unavailable"
NO_RELEASE = "no_release"

#: Reasons that say that something is broken; such answers are not cached.
DEGRADED = frozenset({STORE_UNAVAILABLE, NO_RELEASE})

JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", b"application/problem+json")
NO_STORE = (b"cache-control", b"no-store")


@lru_cache(maxsize=128)
def _template(count: int) -> str:
    # One formatting call for a whole list: json.dumps of the same takes three times as long.
    return ",".join(['{"book_id":%d,"score":%.4g}'] * count)


def items(value: bytes, limit: int, id_bytes: int) -> str:
    """Return the first `limit` books of a packed list as the inside of a JSON array."""
    _, book_ids, scores = values.unpack(value, limit, id_bytes)
    pairs: list[float] = [0] * (2 * len(book_ids))
    pairs[::2] = book_ids
    pairs[1::2] = scores
    return _template(len(book_ids)) % tuple(pairs)


def recommendations(
    user_id: int, release: str, source: str, reason: str | None, inside: str
) -> str:
    """Return the body of a user's recommendations; `inside` is what `items` made."""
    why = f'"{reason}"' if reason else "null"
    return (
        f'{{"user_id":{user_id},"release":"{release}","source":"{source}","reason":{why},'
        f'"items":[{inside}]}}'
    )


def tag_of(release: str, source: str, what: str, limit: int) -> str:
    """Return the strong ETag of a list: it names what the body depends on."""
    return f'"{release}.{source}.{what}.{limit}"'


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
