"""The hot path: a user's recommendations as plain ASGI.

In: HTTP requests. Out: for `/v1/users/{user_id}/recommendations` JSON from exactly one release; everything else goes on
to Starlette, which alone would cost a fifth of the throughput. Guarantees that release, source and tag in the headers
are those of the body.
"""

import re
import secrets
import time
from itertools import count

from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.sources import DEGRADED
from serving import answers, parameters
from serving.answers import Header
from serving.edge import Edge, Unavailable, UnknownRelease, named_shelf
from serving.parameters import BadParameter
from serving.shelf import Shelf
from serving.tracing import remember

_BEFORE, _AFTER = "/v1/users/", "/recommendations"
_PARAMETERS = frozenset({"limit", "release"})
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,128}")
_ROUTE = "recommendations"
#: Ids made here: 64 random bits of this process and a running number (secrets for each cost a microsecond).
_PROCESS, _NUMBERS = secrets.token_hex(8).encode(), count()
#: Where a request's scope keeps the id that was made for it.
_KEPT = "nightshelf.request_id"
_NOT_MODIFIED = 304


class HotPath:
    """ASGI: answers `/v1/users/{user_id}/recommendations`, hands everything else on."""

    def __init__(self, edge: Edge, others: ASGIApp) -> None:
        """`others` is the Starlette application."""
        self._edge = edge
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._others(scope, receive, send)
            return
        started = time.perf_counter()
        remember(scope)
        path: str = scope["path"]
        if (
            path.startswith(_BEFORE)
            and path.endswith(_AFTER)
            and scope["method"] in {"GET", "HEAD"}
        ):
            user = path[len(_BEFORE) : -len(_AFTER)]
            try:
                await self._answer(user, started, scope, send)
            except Exception:
                # The server answers with 500; here it is counted.
                self._edge.metrics.series(_ROUTE, 500, "", "", "", "").count()
                raise
        else:
            await self._others(scope, receive, send)

    async def _answer(self, user: str, started: float, scope: Scope, send: Send) -> None:
        edge = self._edge
        try:
            user_id = parameters.identifier(user, "user_id")
            raw: bytes = scope["query_string"]
            found = parameters.query(raw, _PARAMETERS) if raw else {}
            limit = parameters.limit_of(found)
            shelf, cacheable = await self._shelf(user_id, found)
        except BadParameter as error:
            body = answers.problem(400, "Bad Request", str(error), error.field)
            await self._finish(
                scope,
                send,
                started,
                status=400,
                body=body,
                headers=[answers.PROBLEM, answers.NO_STORE],
            )
            return
        except Unavailable as error:
            body = answers.problem(503, "Service Unavailable", str(error))
            headers = [answers.PROBLEM, answers.NO_STORE, (b"retry-after", b"1")]
            await self._finish(scope, send, started, status=503, body=body, headers=headers)
            return
        except UnknownRelease as error:
            body = answers.problem(404, "Not Found", str(error), "release")
            await self._finish(
                scope,
                send,
                started,
                status=404,
                body=body,
                headers=[answers.PROBLEM, answers.NO_STORE],
            )
            return
        arm = ("canary" if shelf is edge.view.canary else "live") if cacheable else "named"
        asked = answers.asked_tags(scope["headers"])
        if asked and cacheable and edge.degradation() is None:
            # A personal list never changes within a release: a client that holds it needs no look-up.
            for engine in shelf.engines:
                tag = answers.tag_of(shelf.release, f"{engine}.u{user_id}", limit)
                if tag in asked and answers.matches(asked, tag):
                    headers = self._headers(shelf.release, engine, tag, edge.cached)
                    counted = (_ROUTE, 304, engine, "", arm, shelf.release)
                    series = edge.metrics.series(*counted)
                    await send_answer(send, 304, b"", [*headers, request_id(scope)], head=True)
                    series.answered(time.perf_counter() - started)
                    return
        source, reason, inside = await edge.user_list(shelf, user_id, limit)
        body = answers.recommendations(user_id, shelf.release, source, reason, inside).encode()
        kind = source if reason is None else f"{source}.{reason}"
        tag = answers.tag_of(shelf.release, f"{kind}.u{user_id}", limit)
        store = edge.cached if cacheable and reason not in DEGRADED else answers.NO_STORE
        headers = self._headers(shelf.release, source, tag, store)
        status = 200
        if asked and reason not in DEGRADED and answers.matches(asked, tag):
            status, body = 304, b""
        else:
            headers.append(answers.JSON)
        await send_answer(
            send, status, body, [*headers, request_id(scope)], head=scope["method"] == "HEAD"
        )
        series = edge.metrics.series(_ROUTE, status, source, reason or "", arm, shelf.release)
        series.answered(time.perf_counter() - started)

    async def _shelf(self, user_id: int, found: dict[str, list[str]]) -> tuple[Shelf, bool]:
        """Return the release that answers, and whether its answer may be cached as the live one's."""
        edge = self._edge
        if "release" in found:
            return await named_shelf(edge, parameters.release(found["release"][0])), False
        live = edge.shelf()
        pointer, canary = edge.view.pointer, edge.view.canary
        if (
            canary is not None
            and pointer is not None
            and pointer.release_for(user_id) != live.release
        ):
            return canary, True
        return live, True

    def _headers(self, release: str, source: str, tag: str, store: Header) -> list[Header]:
        return [
            (b"x-release", release.encode()),
            (b"x-source", source.encode()),
            (b"etag", tag.encode()),
            store,
        ]

    async def _finish(
        self,
        scope: Scope,
        send: Send,
        started: float,
        *,
        status: int,
        body: bytes,
        headers: list[Header],
    ) -> None:
        await send_answer(
            send, status, body, [*headers, request_id(scope)], head=scope["method"] == "HEAD"
        )
        series = self._edge.metrics.series(_ROUTE, status, "", "", "", "")
        series.answered(time.perf_counter() - started)


async def send_answer(
    send: Send, status: int, body: bytes, headers: list[Header], *, head: bool
) -> None:
    """Send a complete answer; with `head` its body is measured and left out."""
    if status != _NOT_MODIFIED:
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


def request_id(scope: Scope) -> Header:
    """Return the request's id, taken over if it is well formed, else made, as a header; the same at each call."""
    known: Header | None = scope.get(_KEPT)
    if known is not None:
        return known
    for key, value in scope["headers"]:
        if key == b"x-request-id":
            if _REQUEST_ID.fullmatch(value):
                return (b"x-request-id", value)
            break
    scope[_KEPT] = made = (b"x-request-id", b"%s-%x" % (_PROCESS, next(_NUMBERS)))
    return made
