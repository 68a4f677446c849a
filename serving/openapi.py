"""The OpenAPI description of the edge.

In: nothing. Out: the document as JSON text. Guarantees that every path, parameter, status and header a replica
answers with stands in it; tests/serving/test_openapi.py holds both to each other.
"""

import json
from importlib.metadata import version
from typing import Any

from serving.parameters import DEFAULT_LIMIT, GREATEST_ID, GREATEST_LIMIT, MOST_USERS


def dumps(content: Any) -> str:
    """Return compact JSON."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_ID = {"type": "integer", "minimum": 1, "maximum": GREATEST_ID}
_RELEASE = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}-[0-9a-f]{8}$"}
_ITEMS = {"type": "array", "items": _ref("schemas", "Item")}

_SCHEMAS: dict[str, Any] = {
    "Item": _object(book_id=_ID, score={"type": "number"}),
    "Recommendations": _object(
        user_id=_ID,
        release=_RELEASE,
        source={"type": "string", "enum": ["als", "popularity"]},
        reason={
            "type": ["string", "null"],
            "enum": [None, "unknown_user", "short_history", "store_unavailable", "no_release"],
            "description": "Why the list is no personal one; null when it is.",
        },
        items=_ITEMS,
    ),
    "Batch": _object(
        release=_RELEASE,
        results={"type": "array", "items": _ref("schemas", "Recommendations")},
    ),
    "Popular": _object(
        release=_RELEASE,
        source={"type": "string", "enum": ["popularity"]},
        reason={"type": ["string", "null"], "enum": [None, "store_unavailable", "no_release"]},
        tag={"type": ["string", "null"]},
        items=_ITEMS,
        tags={
            "type": "array",
            "items": {"type": "string"},
            "description": "The genres that have a list.",
        },
    ),
    "Similar": _object(book_id=_ID, release=_RELEASE, items=_ITEMS),
    "Book": _object(
        book_id=_ID,
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
    "Ready": _object(status={"type": "string", "enum": ["ready"]}, release=_RELEASE),
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

_HEADERS = {
    "Release": {"description": "The release the answer was made from.", "schema": _RELEASE},
    "Source": {"description": "`als` or `popularity`.", "schema": {"type": "string"}},
    "Tag": {
        "description": "Strong; covers release, source, what was asked and the limit.",
        "schema": {"type": "string"},
    },
    "Cache": {
        "description": "`no-store` when the answer was given because something is broken.",
        "schema": {"type": "string"},
    },
    "RequestId": {
        "description": "Taken over from the request if it is 8 to 128 of A-Z a-z 0-9 . _ -, else made.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {"description": "Seconds.", "schema": {"type": "integer"}},
    "Allow": {"description": "What is allowed here.", "schema": {"type": "string"}},
}

_WITH_ID = {"X-Request-ID": _ref("headers", "RequestId")}
_OF_A_LIST = {
    **_WITH_ID,
    "X-Release": _ref("headers", "Release"),
    "ETag": _ref("headers", "Tag"),
    "Cache-Control": _ref("headers", "Cache"),
}
_WITH_SOURCE = {**_OF_A_LIST, "X-Source": _ref("headers", "Source")}
_UNCACHED = {"Cache-Control": _ref("headers", "Cache")}


def _json(schema: str, description: str, headers: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref("schemas", schema)}}
    return {"description": description, "headers": headers, "content": content}


def _problem(description: str, **headers: Any) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {**_WITH_ID, **_UNCACHED, **headers},
        "content": {"application/problem+json": {"schema": _ref("schemas", "Problem")}},
    }


_NOT_MODIFIED = "What the client holds is still right."
_BAD = _problem("A parameter is wrong; `field` names it.")
_AGAIN = {"Retry-After": _ref("headers", "RetryAfter")}


def _limit() -> dict[str, Any]:
    return {
        "name": "limit",
        "in": "query",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": GREATEST_LIMIT,
            "default": DEFAULT_LIMIT,
        },
    }


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _ID}


_IF_NONE_MATCH = {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}


def _path(
    summary: str, parameters: list[dict[str, Any]], responses: dict[str, Any]
) -> dict[str, Any]:
    """Return a path whose HEAD answers as its GET does, without a body."""
    responses = {
        **responses,
        "405": _problem("Only GET and HEAD are answered.", Allow=_ref("headers", "Allow")),
    }
    bodiless = {
        status: {key: value for key, value in response.items() if key != "content"}
        for status, response in responses.items()
    }
    return {
        "get": {"summary": summary, "parameters": parameters, "responses": responses},
        "head": {"summary": summary, "parameters": parameters, "responses": bodiless},
    }


def _list_path(
    summary: str,
    parameters: list[dict[str, Any]],
    schema: str,
    *,
    headers: dict[str, Any] = _OF_A_LIST,
    missing: str | None = None,
) -> dict[str, Any]:
    responses = {
        "200": _json(schema, "The answer.", headers),
        "304": {"description": _NOT_MODIFIED, "headers": headers},
        "400": _BAD,
        "503": _problem("There is nothing to answer with yet.", **_AGAIN),
    }
    if missing is not None:
        responses["404"] = _problem(missing)
    return _path(summary, [*parameters, _IF_NONE_MATCH], responses)


_USERS = {
    "name": "user_id",
    "in": "query",
    "required": True,
    "explode": True,
    "schema": {"type": "array", "items": _ID, "minItems": 1, "maxItems": MOST_USERS, "uniqueItems": True},
}  # fmt: skip
_TAG = {
    "name": "tag",
    "in": "query",
    "schema": {"type": "string", "pattern": "^[a-z0-9-]{1,64}$"},
}
_NAMED = {"name": "release", "in": "query", "schema": _RELEASE}

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Nightshelf edge",
        "version": version("nightshelf"),
        "description": "Read-only look-ups of book recommendations that were computed overnight.",
    },
    "paths": {
        "/v1/users/{user_id}/recommendations": _list_path(
            "A user's recommendations, or a popularity list and the reason for it.",
            [_in_path("user_id"), _limit(), _NAMED],
            "Recommendations",
            headers=_WITH_SOURCE,
            missing="The named release is not loaded.",
        ),
        "/v1/recommendations": _list_path(
            f"The same for up to {MOST_USERS} different users, all from the stable release.",
            [_USERS, _limit()],
            "Batch",
        ),
        "/v1/popular": _list_path(
            "What is read lately, of all books or of a genre.",
            [_limit(), _TAG],
            "Popular",
            headers=_WITH_SOURCE,
            missing="The genre has no list.",
        ),
        "/v1/books/{book_id}": _list_path(
            "A book's card.", [_in_path("book_id")], "Book", missing="No such book."
        ),
        "/v1/books/{book_id}/similar": _list_path(
            "The books most like a book.",
            [_in_path("book_id"), _limit()],
            "Similar",
            missing="The book has no similar books.",
        ),
        "/healthz": _path("Alive.", [], {"200": _json("Health", "This instance.", _UNCACHED)}),
        "/readyz": _path(
            "Able to answer.",
            [],
            {
                "200": _json("Ready", "Requests may come.", _UNCACHED),
                "503": {
                    "description": "Not yet, or not any more.",
                    "headers": _UNCACHED,
                    "content": {"application/problem+json": {"schema": _ref("schemas", "Problem")}},
                },
            },
        ),
    },
    "components": {"schemas": _SCHEMAS, "headers": _HEADERS},
}

TEXT = dumps(DOCUMENT)
