"""Traces with OpenTelemetry: off, and then free, unless one setting names where they go.

In: `NIGHTSHELF_TRACES`, the URL of an OTLP/HTTP collector (`http://host:4318/v1/traces`). Out: spans. Guarantees
that nothing here imports OpenTelemetry while it is off, that a trace that comes in by `traceparent` goes on, and
that a collector which does not answer costs no answer (spans are sent from a thread of their own). On, it needs the
extra `tracing`.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.environment import EnvironmentProblem, read


@dataclass(frozen=True)
class TraceSettings:
    """Where spans go; None is nowhere."""

    traces: str | None = None


class Tracing:
    """Makes spans and sends them."""

    def __init__(self, url: str, service: str) -> None:
        """Raise EnvironmentProblem where OpenTelemetry is not installed."""
        try:
            from opentelemetry import trace  # noqa: PLC0415  # only where traces are wanted
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,
            )
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
            from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
                TraceContextTextMapPropagator,
            )
        except ImportError as error:
            raise EnvironmentProblem(
                "NIGHTSHELF_TRACES is set and OpenTelemetry is not installed; install the extra `tracing`"
            ) from error
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        self._tracer = self._provider.get_tracer("nightshelf")

    @contextlib.contextmanager
    def span(
        self, name: str, carrier: Mapping[str, str] | None = None, **attributes: Any
    ) -> Iterator[Any]:
        """Give a span that ends with the block; `carrier` holds the headers of a trace that goes on."""
        context = self._propagator.extract(dict(carrier)) if carrier else None
        kept = {key.replace("__", "."): value for key, value in attributes.items()}
        with self._tracer.start_as_current_span(name, context=context, attributes=kept) as span:
            yield span

    def trace_id(self) -> str:
        """Return the id of the current trace in hexadecimal, "" outside of one."""
        context = self._trace.get_current_span().get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else ""

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def from_environment(service: str, environ: Mapping[str, str]) -> Tracing | None:
    """Return the tracing that the environment asks for, None for none. Raises EnvironmentProblem."""
    url = read(TraceSettings, environ).traces
    return Tracing(url, service) if url else None
