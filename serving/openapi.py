"""The OpenAPI description of the edge.

In: nothing. Out: the document as JSON text. Guarantees that every path, parameter, status and header a client gets
through NGINX stands in it; tests/deploy/nginx/test_description.py holds both to each other.
"""

import json
from importlib.metadata import version
from typing import Any

from serving.components import (
    ALWAYS,
    HEADERS,
    ID,
    OF_A_LIST,
    RELEASE,
    RESPONSES,
    SCHEMAS,
    UNCACHED,
    WITH_SOURCE,
    json_answer,
    ref,
)
from serving.parameters import DEFAULT_LIMIT, GREATEST_LIMIT, MOST_USERS


def dumps(content: Any) -> str:
    """Return compact JSON."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


#: What any path may answer.
_ANYWHERE = ("308", "400", "405", "413", "414", "429", "431", "503")


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
    return {"name": name, "in": "path", "required": True, "schema": ID}


_IF_NONE_MATCH = {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}


def _path(
    summary: str, parameters: list[dict[str, Any]], responses: dict[str, Any], *more: str
) -> dict[str, Any]:
    """Return a path whose HEAD answers as its GET does, without a body; `more` are statuses of its own."""
    problems = {status: ref("responses", status) for status in sorted({*_ANYWHERE, *more})}
    operation = {
        "summary": summary,
        "parameters": parameters,
        "responses": {**responses, **problems},
    }
    return {"get": operation, "head": operation}


def _list_path(
    summary: str,
    parameters: list[dict[str, Any]],
    schema: str,
    *more: str,
    headers: dict[str, Any] = OF_A_LIST,
) -> dict[str, Any]:
    responses = {
        "200": json_answer(schema, "The answer.", headers),
        "304": {"description": "What the client holds is still right.", "headers": headers},
    }
    return _path(summary, [*parameters, _IF_NONE_MATCH], responses, "401", *more)


_USERS = {
    "name": "user_id",
    "in": "query",
    "required": True,
    "explode": True,
    "schema": {"type": "array", "items": ID, "minItems": 1, "maxItems": MOST_USERS, "uniqueItems": True},
}  # fmt: skip
_TAG = {
    "name": "tag",
    "in": "query",
    "schema": {"type": "string", "pattern": "^[a-z0-9-]{1,64}$"},
}
_NAMED = {"name": "release", "in": "query", "schema": RELEASE}

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
            "404",
            "412",
            headers=WITH_SOURCE,
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
            "404",
            "412",
            headers=WITH_SOURCE,
        ),
        "/v1/books/{book_id}": _list_path(
            "A book's card.", [_in_path("book_id")], "Book", "404", "412"
        ),
        "/v1/books/{book_id}/similar": _list_path(
            "The books most like a book.",
            [_in_path("book_id"), _limit()],
            "Similar",
            "404",
            "412",
        ),
        "/healthz": _path("Alive.", [], {"200": json_answer("Health", "This instance.", UNCACHED)}),
        "/openapi.json": _path(
            "This description.",
            [],
            {
                "200": {
                    "description": "OpenAPI 3.1.",
                    "headers": ALWAYS,
                    "content": {"application/json": {"schema": {"type": "object"}}},
                }
            },
        ),
        "/readyz": _path(
            "Able to answer; for internal addresses.",
            [],
            {"200": json_answer("Ready", "Requests may come.", UNCACHED)},
            "403",
        ),
        "/metrics": _path(
            "Metrics in Prometheus's text format; for internal addresses.",
            [],
            {
                "200": {
                    "description": "Counters, histograms and gauges.",
                    "headers": ALWAYS,
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                }
            },
            "403",
        ),
    },
    "components": {"schemas": SCHEMAS, "headers": HEADERS, "responses": RESPONSES},
}

TEXT = dumps(DOCUMENT)
