"""What the OpenAPI description is put together from: schemas, headers, problems.

In: nothing. Out: the parts, and references to them by name. Guarantees that a name stands for one thing.
"""

from typing import Any

from schemas.sources import DEGRADED, ENGINES, POPULARITY, REASONS
from serving.parameters import GREATEST_ID


def ref(kind: str, name: str) -> dict[str, str]:
    """Return a reference to one of the parts: kind `schemas`, `headers` or `responses`."""
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


ID = {"type": "integer", "minimum": 1, "maximum": GREATEST_ID}
RELEASE = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}-[0-9a-f]{8}$"}
#: No list of values: a release of a later version may name an engine that this one does not know.
_SOURCE = {
    "type": "string",
    "pattern": "^[a-z0-9_-]+$",
    "description": f"The engine that made the list ({', '.join(ENGINES)}), or {POPULARITY}.",
}
_ITEMS = {"type": "array", "items": ref("schemas", "Item")}

SCHEMAS: dict[str, Any] = {
    "Item": _object(book_id=ID, score={"type": "number"}),
    "Recommendations": _object(
        user_id=ID,
        release=RELEASE,
        source=_SOURCE,
        reason={
            "type": ["string", "null"],
            "enum": [None, *REASONS],
            "description": "Why the list is no personal one, or why it is empty; else null.",
        },
        items=_ITEMS,
    ),
    "Batch": _object(
        release=RELEASE,
        results={"type": "array", "items": ref("schemas", "Recommendations")},
    ),
    "Popular": _object(
        release=RELEASE,
        source={"type": "string", "enum": [POPULARITY]},
        reason={"type": ["string", "null"], "enum": [None, *sorted(DEGRADED)]},
        tag={"type": ["string", "null"]},
        items=_ITEMS,
        tags={
            "type": "array",
            "items": {"type": "string"},
            "description": "The genres that have a list.",
        },
    ),
    "Similar": _object(book_id=ID, release=RELEASE, items=_ITEMS),
    "Book": _object(
        book_id=ID,
        goodreads_book_id={"type": ["integer", "null"]},
        title={"type": "string"},
        authors={"type": "array", "items": {"type": "string"}},
        year={"type": ["integer", "null"]},
        language={"type": ["string", "null"]},
        genres={"type": "array", "items": {"type": "string"}},
        to_read_count={"type": "integer"},
    ),
    "Health": _object(
        status={"type": "string", "enum": ["alive", "stopping"]},
        instance={"type": "string"},
        version={"type": "string"},
        release={"type": ["string", "null"]},
        generation={"type": ["integer", "null"]},
    ),
    "Ready": _object(status={"type": "string", "enum": ["ready"]}, release=RELEASE),
    "Problem": {
        "type": "object",
        "description": "RFC 9457. `field` names the parameter that is wrong.",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "field": {"type": "string"},
        },
        "required": ["type", "title", "status", "detail"],
    },
}


def _header(
    description: str, *, required: bool = True, schema: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "description": description,
        "required": required,
        "schema": schema or {"type": "string"},
    }


#: Names of headers as they are written here; `required` means: on every answer that lists it. What is not required
#: depends on a setting or on the request.
HEADERS = {
    "X-Release": _header("The release the answer was made from.", schema=RELEASE),
    "X-Source": _header("Where the list came from.", schema=_SOURCE),
    "ETag": _header("Covers release, source, what was asked and the limit; weak when compressed."),
    "Cache-Control": _header("`no-store` when the answer was given because something is broken."),
    "X-Request-ID": _header(
        "Taken over from the request if it is 8 to 128 of A-Z a-z 0-9 . _ -, else made."
    ),
    "Retry-After": _header("Seconds.", schema={"type": "integer"}),
    "Allow": _header("What is allowed here."),
    "Location": _header("The same address over TLS."),
    "WWW-Authenticate": _header("How a key is given."),
    "X-Content-Type-Options": _header("`nosniff`."),
    "Content-Security-Policy": _header("An answer of the API may load and do nothing."),
    "Cross-Origin-Resource-Policy": _header("`same-origin`."),
    "X-Cache": _header("How NGINX's cache took part: MISS, HIT, STALE, ...", required=False),
    "Vary": _header("Which headers of the request the answer depends on.", required=False),
    "Strict-Transport-Security": _header("Over TLS.", required=False),
    **{
        f"Access-Control-{name}": _header(
            "For pages of the origins that are let in.", required=False
        )
        for name in ("Allow-Origin", "Allow-Methods", "Allow-Headers", "Expose-Headers")
    },
}


def named(*names: str) -> dict[str, Any]:
    """Return headers by their names."""
    return {name: ref("headers", name) for name in names}


#: Said by NGINX on every answer.
ALWAYS = named(
    "X-Request-ID",
    "X-Content-Type-Options",
    "Content-Security-Policy",
    "Cross-Origin-Resource-Policy",
    *(name for name, header in HEADERS.items() if not header["required"]),
)
UNCACHED = {**ALWAYS, **named("Cache-Control")}
OF_A_LIST = {**UNCACHED, **named("X-Release", "ETag")}
WITH_SOURCE = {**OF_A_LIST, **named("X-Source")}


def json_answer(schema: str, description: str, headers: dict[str, Any]) -> dict[str, Any]:
    """Return an answer in JSON of a schema."""
    content = {"application/json": {"schema": ref("schemas", schema)}}
    return {"description": description, "headers": headers, "content": content}


def _problem(description: str, *headers: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {**UNCACHED, **named(*headers)},
        "content": {"application/problem+json": {"schema": ref("schemas", "Problem")}},
    }


RESPONSES = {
    "308": {
        "description": "Where TLS is set up: plain HTTP is sent there.",
        "headers": {**ALWAYS, **named("Location")},
        "content": {"text/html": {"schema": {"type": "string"}}},
    },
    "400": _problem("A parameter is wrong (`field` names it), or the request is not well-formed HTTP."),
    "401": _problem("This server wants an API key, or does not know this one.", "WWW-Authenticate"),
    "403": _problem("Open to internal addresses only."),
    "404": _problem("There is nothing of this number or name; `field` or `detail` says what."),
    "405": _problem("Only GET and HEAD are answered.", "Allow"),
    "412": _problem("What If-Match or If-Unmodified-Since asks for does not hold."),
    "413": _problem("The request has a body of more than 1,024 bytes."),
    "414": _problem("The address is longer than 4,096 bytes."),
    "429": _problem("Too many requests from this client or with this key.", "Retry-After"),
    "431": _problem("A header is longer than 4,096 bytes, or all are than 16,384."),
    "503": _problem("There is nothing to answer with yet, or nobody to answer.", "Retry-After"),
}  # fmt: skip
