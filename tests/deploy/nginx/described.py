"""Holds answers to the API's description.

In: answers of NGINX. Out: what about them is not described. Guarantees that a status, a header or a content type that
stands nowhere is told, and a required header that is missing.
"""

import re
from collections.abc import Mapping
from typing import Any

from serving.openapi import DOCUMENT

#: Headers of the transport and of representations: HTTP's own, not the API's (RFC 9110, 9112).
_OF_HTTP = {
    "connection", "content-encoding", "content-length", "content-type", "date", "keep-alive", "server",
    "transfer-encoding",
}  # fmt: skip
_PATTERNS = {
    template: re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", template))
    for template in sorted(DOCUMENT["paths"], key=lambda template: "{" in template)
}


def template_of(path: str) -> str | None:
    """Return the described path that a request's path is one of, None where it is none."""
    plain = path.partition("?")[0]
    return next((name for name, form in _PATTERNS.items() if form.fullmatch(plain)), None)


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Return what a part of the document refers to, or itself."""
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    found: dict[str, Any] = DOCUMENT["components"][kind][name]
    return found


def response(method: str, template: str, status: int) -> dict[str, Any] | None:
    """Return what is described of a status; a method that is refused is described with GET."""
    operation = DOCUMENT["paths"][template]["head" if method == "HEAD" else "get"]
    found = operation["responses"].get(str(status))
    return None if found is None else resolved(found)


def undescribed(method: str, path: str, status: int, headers: Mapping[str, str]) -> list[str]:
    """Say what about an answer is not described; nothing for a path that is none of the API's."""
    template = template_of(path)
    if template is None:
        return []
    found = response(method, template, status)
    if found is None:
        return [f"{method} {template} answered {status}"]
    where = f"{method} {template} {status}"
    listed = {name.lower(): resolved(part) for name, part in found["headers"].items()}
    told = [f"{where}: header {name}" for name in headers if name not in {*listed, *_OF_HTTP}]
    told += [
        f"{where}: no header {name}"
        for name, part in listed.items()
        if part["required"] and name not in headers
    ]
    content_type = headers.get("content-type", "").partition(";")[0]
    if content_type and content_type not in found.get("content", {}):
        told.append(f"{where}: {content_type}")
    return told
