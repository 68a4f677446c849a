"""Traces: off unless asked for, and then one trace from the caller to the look-up, or from the command to the step."""

import gzip
import http.server
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from schemas.environment import Node
from serving.hotpath import request_id
from serving.tracing import Ids, remember
from tests.harness.releases import write_release
from tests.serving.conftest import ending, is_ready, start_replica

_TRACE = "0af7651916cd43dd8448eb211c80319c"
_PARENT = f"00-{_TRACE}-b7ad6b7169203331-01"


class Collector:
    """An OTLP/HTTP collector that keeps spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        spans = self.spans

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def wait(self, condition: Callable[[list[Span]], object]) -> None:
        """Wait until the spans fulfil a condition; fails after 20 s."""
        deadline = time.monotonic() + 20
        while not condition(self.spans):
            assert time.monotonic() < deadline, [span.name for span in self.spans]
            time.sleep(0.05)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on loopback."""
    running = Collector()
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_a_request_and_its_lookup_are_in_the_callers_trace(
    collector: Collector, redis_nodes: tuple[Node, ...], tmp_path: Path
) -> None:
    """`traceparent` goes on: the request's span has the caller's trace, and the look-up's is its child."""
    settings = Settings(artifacts=tmp_path, redis=redis_nodes)
    folder = write_release(tmp_path, "2026-01-01")
    publish.run(folder, settings)
    activate.run(Artifacts(tmp_path), folder.release, settings)
    # What is left is sent at the end.
    with ending(
        start_replica(redis_nodes, NIGHTSHELF_TRACES=collector.url), within_s=15
    ) as replica:
        replica.wait_for(is_ready)
        assert replica.get("/v1/users/7/recommendations", traceparent=_PARENT).status == 200
    collector.wait(lambda spans: any(span.name == "lookup" for span in spans))
    lookup = next(span for span in collector.spans if span.name == "lookup")
    request = next(span for span in collector.spans if span.span_id == lookup.parent_span_id)
    assert request.trace_id.hex() == lookup.trace_id.hex() == _TRACE
    told = {one.key: one.value for one in request.attributes}
    assert told["http.response.status_code"].int_value == 200
    assert told["release"].string_value == folder.release


def test_a_step_is_a_span_of_its_command(collector: Collector, tmp_path: Path) -> None:
    """The span of a recorded step is inside that of the command, which goes on with TRACEPARENT."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom jobs.runtime import spans\n"
        "from jobs.runtime.record import recorded\n"
        "with spans.traced(['train']), recorded('train', Path(sys.argv[1]), 'x'):\n    pass\n"
    )
    environment = {**os.environ, "NIGHTSHELF_TRACES": collector.url, "TRACEPARENT": _PARENT}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, check=True)
    by_name = {span.name: span for span in collector.spans}
    assert by_name.keys() == {"nightshelf train", "train"}
    assert by_name["train"].parent_span_id == by_name["nightshelf train"].span_id
    assert by_name["nightshelf train"].trace_id.hex() == _TRACE


def test_each_line_of_a_traced_command_has_its_trace(collector: Collector, tmp_path: Path) -> None:
    """What a command says on standard error, its error too, begins with trace and run; without traces it does not."""
    command = [str(Path(sys.executable).with_name("nightshelf")), "why", "--user", "1"]
    plain = {**os.environ, "NIGHTSHELF_ARTIFACTS": str(tmp_path), "TRACEPARENT": _PARENT}
    plain |= {"NIGHTSHELF_REDIS": "127.0.0.1:1", "NIGHTSHELF_RUN_BY": "a_dag/manual__1"}
    for environment, beginning in (
        (plain | {"NIGHTSHELF_TRACES": collector.url}, f"trace={_TRACE} run=a_dag/manual__1 "),
        (plain, "error: "),
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "error: " in done.stderr
        assert all(line.startswith(beginning) for line in done.stderr.splitlines()[:1])
        assert all(
            line.startswith(beginning) or beginning == "error: "
            for line in done.stderr.splitlines()
        )


def test_without_the_setting_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    """Neither a command's steps nor the edge's modules load what sends spans."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom jobs.runtime import spans\n"
        "from jobs.runtime.record import recorded\nimport serving.server\n"
        "with spans.traced(['train']), recorded('train', Path(sys.argv[1]), 'x'):\n    pass\n"
        # redis-py loads the SDK by itself where it is installed; what sends spans is ours alone.
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.exporter')]\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "NIGHTSHELF_TRACES"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, check=True)


def _record() -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "x", 1, "x", None, None)


def test_log_lines_carry_the_ids_of_the_request_in_hand() -> None:
    """The id and the trace that the client sent; an id made here is that of the answer; no request, no ids."""
    ids = Ids(None, request_id)
    outside = _record()
    assert ids.filter(outside)
    assert (outside.request_id, outside.trace_id) == ("-", "-")  # type: ignore[attr-defined]
    remember({"headers": [(b"x-request-id", b"from-client"), (b"traceparent", _PARENT.encode())]})
    sent = _record()
    assert ids.filter(sent)
    assert (sent.request_id, sent.trace_id) == ("from-client", _TRACE)  # type: ignore[attr-defined]
    scope: dict[str, object] = {"headers": []}
    remember(scope)
    made = _record()
    assert ids.filter(made)
    assert made.request_id == request_id(scope)[1].decode()  # type: ignore[attr-defined]
