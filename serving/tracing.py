"""Spans of an edge replica, and the ids in its log lines.

In: requests and look-ups. Out: a span for each, in the trace the client began; log records with `request_id` and
`trace_id`. Guarantees that a replica without `NIGHTSHELF_TRACES` runs none of this on a request.
"""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.tracing import Tracing
from serving.answers import Header
from serving.edge import Edge
from serving.settings import Settings
from serving.shelf import Shelf

#: The request in hand, for log lines.
_SCOPE: ContextVar[Scope | None] = ContextVar("request", default=None)

LOG_FORMAT = (
    "%(asctime)s %(levelname)s %(name)s request=%(request_id)s trace=%(trace_id)s %(message)s"
)


class TracedEdge(Edge):
    """An edge whose look-ups have spans."""

    def __init__(self, settings: Settings, tracing: Tracing) -> None:
        """Nothing is connected before `start`."""
        super().__init__(settings)
        self._tracing = tracing

    async def value(self, shelf: Shelf, prefix: str, buckets: int, entity: int) -> bytes | None:
        """Return and raise what `Edge.value` does."""
        with self._tracing.span("lookup", key=f"{prefix}{entity % buckets}"):
            return await super().value(shelf, prefix, buckets, entity)


class Traced:
    """ASGI: a span around each request."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        """`app` is the application of a `TracedEdge`, whose look-ups have spans inside this one."""
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request inside a span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            if scope["type"] == "lifespan":
                self._tracing.close()
            return
        carrier = {
            key.decode("latin-1"): value.decode("latin-1")
            for key, value in scope["headers"]
            if key in {b"traceparent", b"tracestate"}
        }
        with self._tracing.span(
            f"{scope['method']} edge", carrier, url__path=scope["path"]
        ) as span:

            async def answered(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    _tell(span, message["headers"])
                await send(message)

            await self._app(scope, receive, answered)


def _tell(span: Any, headers: list[tuple[bytes, bytes]]) -> None:
    for key, value in headers:
        if key in {b"x-release", b"x-source", b"x-request-id"}:
            span.set_attribute(key.decode()[2:].replace("-", "_"), value.decode("latin-1"))


def remember(scope: Scope) -> None:
    """Keep the request in hand for the log lines of its task (0.1 microseconds)."""
    _SCOPE.set(scope)


class Ids(logging.Filter):
    """Gives each log record the ids of the request and the trace in hand, "-" outside of one."""

    def __init__(self, tracing: Tracing | None, identify: Callable[[Scope], Header]) -> None:
        """Without tracing there is no trace id but the one the client sent; `identify` gives a request's id."""
        super().__init__()
        self._tracing = tracing
        self._identify = identify

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the two ids; no record is dropped."""
        scope = _SCOPE.get()
        headers = dict(scope["headers"]) if scope else {}
        record.request_id = self._identify(scope)[1].decode("latin-1") if scope else "-"
        parts = headers.get(b"traceparent", b"").decode("latin-1").split("-")
        sent = parts[1] if len(parts) > 1 else ""
        record.trace_id = (self._tracing.trace_id() if self._tracing else "") or sent or "-"
        return True
