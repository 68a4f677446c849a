"""The application: every path but the hot one, on Starlette, and the hot one in front.

In: an `Edge`. Out: an ASGI application. Guarantees that errors are RFC 9457 problems, that nothing but GET and HEAD is
answered, and that batches, popular lists and books come from the stable release, never from a canary.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schemas import sources
from serving import answers, openapi, parameters
from serving.edge import Edge, Unavailable
from serving.hotpath import HotPath, request_id
from serving.lookup import LookupFailed
from serving.parameters import BadParameter
from serving.shelf import Shelf

Handler = Callable[[Request], Awaitable[Response]]

_UNAVAILABLE = 503


def application(edge: Edge) -> ASGIApp:
    """Return the ASGI application of one edge replica."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await edge.start()
        yield
        await edge.stop()

    paths = _Paths(edge)
    routes = [
        Route("/v1/recommendations", paths.measured("batch", paths.batch)),
        Route("/v1/popular", paths.measured("popular", paths.popular)),
        Route("/v1/books/{book_id}", paths.measured("book", paths.book)),
        Route("/v1/books/{book_id}/similar", paths.measured("similar", paths.similar)),
        Route("/healthz", paths.health),
        Route("/readyz", paths.ready),
        Route("/metrics", paths.metrics),
        Route("/openapi.json", paths.description),
        # The hot path answers GET and HEAD; what comes through to here has another method.
        Route("/v1/users/{user_id}/recommendations", _never, methods=["GET", "HEAD"]),
    ]
    others = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_problem, Exception: _crash},
    )
    # A path with a slash at its end is another path: Starlette would answer a 307 that no description knows.
    others.router.redirect_slashes = False
    return HotPath(edge, others)


class _Paths:
    """The handlers of one replica."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def measured(self, route: str, handler: Handler) -> Handler:
        """Return a handler that answers problems as such and counts what it answered."""

        async def answer(request: Request) -> Response:
            started = time.perf_counter()
            try:
                response = await handler(request)
            except BadParameter as error:
                response = _problem(400, "Bad Request", str(error), error.field)
            except Unavailable as error:
                response = _problem(503, "Service Unavailable", str(error))
            except Exception:
                # Answered with 500 further out; here it is counted.
                self._edge.metrics.series(route, 500, "", "", "", "").count()
                raise
            response.headers["x-request-id"] = request_id(request.scope)[1].decode()
            source = response.headers.get("x-source", "")
            release = response.headers.get("x-release", "")
            arm = "live" if release else ""
            reason = getattr(request.state, "reason", "")
            series = self._edge.metrics.series(
                route, response.status_code, source, reason, arm, release
            )
            series.answered(time.perf_counter() - started)
            return response

        return answer

    async def batch(self, request: Request) -> Response:
        """Lists of up to 100 different users, all from the stable release."""
        found = parameters.query(
            request.scope["query_string"], frozenset({"user_id", "limit"}), repeatable="user_id"
        )
        if "user_id" not in found:
            raise BadParameter("user_id", "is missing")
        users = [parameters.identifier(text, "user_id") for text in found["user_id"]]
        if len(users) > parameters.MOST_USERS:
            raise BadParameter("user_id", f"may be given {parameters.MOST_USERS} times at most")
        if len(set(users)) < len(users):
            raise BadParameter("user_id", "names a user more than once")
        limit = parameters.limit_of(found)
        shelf = self._edge.shelf()
        lists = await asyncio.gather(*(self._edge.user_list(shelf, user, limit) for user in users))
        bodies = [
            answers.recommendations(user, shelf.release, source, reason, inside)
            for user, (source, reason, inside) in zip(users, lists, strict=True)
        ]
        body = f'{{"release":"{shelf.release}","results":[{",".join(bodies)}]}}'
        self._edge.metrics.batch(shelf.release, ((source, why or "") for source, why, _ in lists))
        degraded = any(reason in sources.DEGRADED for _, reason, _ in lists)
        what = "b" + "-".join(map(str, users))
        kinds = "-".join(sorted({reason or source for source, reason, _ in lists}))
        return self._list(request, shelf, body, f"{kinds}.{what}", limit, degraded=degraded)

    async def popular(self, request: Request) -> Response:
        """The popularity list of all books or of a genre, from memory."""
        found = parameters.query(request.scope["query_string"], frozenset({"limit", "tag"}))
        limit = parameters.limit_of(found)
        tag = parameters.tag(found["tag"][0]) if "tag" in found else ""
        shelf = self._edge.shelf()
        value = shelf.popular.get(tag)
        if value is None:
            return _problem(
                404,
                "Not Found",
                f"no genre {tag!r}; known are: {', '.join(shelf.meta.tags)}",
                "tag",
            )
        reason = self._edge.degradation()
        request.state.reason = reason or ""
        why = f'"{reason}"' if reason else "null"
        named = f'"{tag}"' if tag else "null"
        tags = ",".join(f'"{name}"' for name in shelf.meta.tags)
        body = (
            f'{{"release":"{shelf.release}","source":"popularity","reason":{why},"tag":{named},'
            f'"items":[{answers.items(value, limit, shelf.meta.id_bytes)}],"tags":[{tags}]}}'
        )
        response = self._list(
            request, shelf, body, f"{reason or 'popular'}.{tag}", limit, degraded=reason is not None
        )
        response.headers["x-source"] = sources.POPULARITY
        return response

    async def book(self, request: Request) -> Response:
        """A book's card."""
        book = parameters.identifier(request.path_params["book_id"], "book_id")
        parameters.query(request.scope["query_string"], frozenset())
        shelf = self._edge.shelf()
        value = await self._of_book(shelf, shelf.books_prefix, book)
        if isinstance(value, Response):
            return value
        return self._list(request, shelf, value.decode(), f"card.{book}", 1, degraded=False)

    async def similar(self, request: Request) -> Response:
        """The books most like a book."""
        book = parameters.identifier(request.path_params["book_id"], "book_id")
        found = parameters.query(request.scope["query_string"], frozenset({"limit"}))
        limit = parameters.limit_of(found)
        shelf = self._edge.shelf()
        value = await self._of_book(shelf, shelf.similar_prefix, book)
        if isinstance(value, Response):
            return value
        inside = answers.items(value, limit, shelf.meta.id_bytes)
        body = f'{{"book_id":{book},"release":"{shelf.release}","items":[{inside}]}}'
        return self._list(request, shelf, body, f"similar.{book}", limit, degraded=False)

    async def _of_book(self, shelf: Shelf, prefix: str, book: int) -> bytes | Response:
        # There is no list of a book in memory to fall back to.
        unavailable = _problem(503, "Service Unavailable", "the store does not answer")
        if self._edge.degradation() is not None:
            return unavailable
        try:
            value = await self._edge.value(shelf, prefix, shelf.meta.book_buckets, book)
        except LookupFailed:
            return unavailable
        if value is None:
            return _problem(404, "Not Found", f"release {shelf.release} has nothing on book {book}")
        return value

    def _list(
        self, request: Request, shelf: Shelf, body: str, what: str, limit: int, *, degraded: bool
    ) -> Response:
        tag = answers.tag_of(shelf.release, what, limit)
        headers = {
            "x-release": shelf.release,
            "etag": tag,
            "cache-control": (answers.NO_STORE if degraded else self._edge.cached)[1].decode(),
        }
        asked = answers.asked_tags(request.scope["headers"])
        if asked and not degraded and answers.matches(asked, tag):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    async def health(self, _request: Request) -> Response:
        """Alive, and what this instance is and serves."""
        view = self._edge.view
        content: dict[str, Any] = {
            "status": "stopping" if self._edge.stopping else "alive",
            "instance": self._edge.settings.instance,
            "version": version("nightshelf"),
            "release": view.live.release if view.live else None,
            "generation": view.pointer.generation if view.pointer else None,
        }
        return _json(200, content)

    async def ready(self, _request: Request) -> Response:
        """Whether requests should come here: a list is known and the replica is not stopping."""
        if self._edge.stopping:
            return _problem(503, "Service Unavailable", "this replica is stopping")
        if self._edge.view.unreadable is not None:
            detail = f"release {self._edge.view.unreadable} is in a format of a later version"
            return _problem(503, "Service Unavailable", detail)
        if self._edge.view.live is None:
            return _problem(503, "Service Unavailable", "no release has been read yet")
        return _json(200, {"status": "ready", "release": self._edge.view.live.release})

    async def metrics(self, _request: Request) -> Response:
        """Metrics in Prometheus's text format."""
        return Response(await self._edge.exposition(), media_type="text/plain; version=0.0.4")

    async def description(self, _request: Request) -> Response:
        """The OpenAPI description."""
        return Response(openapi.TEXT, media_type="application/json")


async def _never(_request: Request) -> Response:
    raise AssertionError("the hot path answers this")


def _json(status: int, content: dict[str, Any]) -> Response:
    return Response(
        openapi.dumps(content),
        status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


def _problem(status: int, title: str, detail: str, field: str | None = None) -> Response:
    headers = {"cache-control": "no-store"}
    if status == _UNAVAILABLE:
        headers["retry-after"] = "1"
    body = answers.problem(status, title, detail, field)
    return Response(body, status, media_type="application/problem+json", headers=headers)


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class alone
    details = {
        404: "nothing is at this path; see /openapi.json",
        405: "only GET and HEAD are answered here",
    }
    detail = details.get(error.status_code, error.detail)
    response = _problem(error.status_code, error.detail, detail)
    response.headers.update(error.headers or {})
    response.headers["x-request-id"] = request_id(request.scope)[1].decode()
    return response


async def _crash(_request: Request, _error: Exception) -> Response:
    return _problem(500, "Internal Server Error", "this is a defect; the log has the traceback")
