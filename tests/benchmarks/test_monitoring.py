"""What monitoring costs: a request with and without metrics, a scrape of the batch with 50 releases, series."""

import statistics
import sys
import time
import timeit
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from jobs.operations import metrics
from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.files import write_json
from jobs.runtime.settings import Settings
from schemas.environment import Node, node_list
from serving.metrics import Metrics
from serving.shelf import EMPTY
from serving.tracing import remember
from tests.benchmarks.conftest import Report
from tests.benchmarks.wrk import Run, measure, served, users_script
from tests.conftest import free_ports
from tests.harness.releases import write_release

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

USERS = 2000
ROUNDS = 5
RELEASES = 50

#: The replica with every count and observation left out.
_WITHOUT = """
from serving.metrics import Metrics, Series
nothing = lambda *_: None
Metrics._resolve = lambda *_: Series(nothing, nothing)
made = Metrics.__init__
def init(self, *given):
    made(self, *given)
    self.observe_lookup = nothing
Metrics.__init__ = init
from serving.server import main
main()
"""


#: Takes spans and throws them away.
_COLLECTOR = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *given):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", %d), Handler).serve_forever()
"""


def test_metrics_of_a_request(
    redis_nodes: tuple[Node, ...], tmp_path: Path, report: Report
) -> None:
    """Requests per second and CPU a request with metrics, as ratios to the same replica without; and with traces on."""
    settings = Settings(artifacts=tmp_path, redis=redis_nodes)
    folder = write_release(tmp_path, "2026-01-01", users=USERS, length=10)
    publish.run(folder, settings)
    activate.run(Artifacts(tmp_path), folder.release, settings)
    script = users_script(tmp_path / "load.lua", USERS)
    edge = [str(Path(sys.executable).with_name("nightshelf-edge"))]
    found: dict[str, list[Run]] = {"with": [], "without": [], "traced": []}
    *edge_ports, collector = free_ports(4)
    ports = dict(zip(found, edge_ports, strict=True))
    common = {"NIGHTSHELF_REDIS": node_list(redis_nodes)}
    commands = {"with": edge, "without": [sys.executable, "-c", _WITHOUT], "traced": edge}
    own = {"traced": {"NIGHTSHELF_TRACES": f"http://127.0.0.1:{collector}/v1/traces"}}
    with served([sys.executable, "-c", _COLLECTOR % collector], collector, {}, path="/"):
        for _ in range(ROUNDS):
            for name, runs in found.items():
                environment = {
                    **common, **own.get(name, {}), "NIGHTSHELF_EDGE_PORT": str(ports[name]),
                }  # fmt: skip
                with served(commands[name], ports[name], environment) as pid:
                    runs.append(measure(ports[name], [pid], script))
    rate = {name: statistics.median(run.rate for run in runs) for name, runs in found.items()}
    cpu = {name: statistics.median(run.cpu_us for run in runs) for name, runs in found.items()}
    report("edge: requests/s with metrics / without", rate["with"] / rate["without"], "ratio")
    report("edge: CPU a request with metrics / without", cpu["with"] / cpu["without"], "ratio")
    report("edge: CPU of metrics a request", cpu["with"] - cpu["without"], "microseconds")
    report("edge: CPU a request, traces off", cpu["with"], "microseconds")
    report("edge: CPU a request, each traced", cpu["traced"], "microseconds")
    report("edge: CPU a request, each traced / off", cpu["traced"] / cpu["with"], "ratio")


def test_traces_that_are_off(report: Report) -> None:
    """All that is left of them on a request: that it is kept for the log lines that may come."""
    scope = {
        "headers": [(b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    }
    times = timeit.repeat(lambda: remember(scope), number=100_000, repeat=5)
    report("edge: CPU a request of traces that are off", min(times) * 10, "microseconds")


def test_series_of_a_replica(report: Report) -> None:
    """Series and bytes of a replica that has given every kind of answer on its hot path."""
    metrics = Metrics(lambda: EMPTY, "here")
    for arm in ("live", "canary"):
        for status in (200, 304):
            for source, reason in (
                ("als", ""), ("popularity", "unknown_user"), ("popularity", "short_history"),
                ("popularity", "store_unavailable"), ("popularity", "no_release"),
            ):  # fmt: skip
                metrics.series("recommendations", status, source, reason, arm, f"{arm} one").count()
    for status in (400, 404, 503):
        metrics.series("recommendations", status, "", "", "", "").count()
    for route in ("batch", "popular", "book", "similar"):
        for status in (200, 304, 400, 404, 503):
            metrics.series(route, status, "", "", "live", "live one").count()
    text = metrics.text()
    report("edge: series of a worker at most", _series(text), "series")
    report("edge: size of a scrape of a worker", len(text) / 1024, "KiB")


def test_a_scrape_of_the_batch(tmp_path: Path, report: Report) -> None:
    """First and later scrapes with 50 releases of 8 steps in the folder, and their size."""
    counts = {
        "rows_in": 1, "rows_accepted": 1, "rejects": {"unknown_book": 1}, "users": 1, "books": 1,
        "data_as_of": "2026-01-01T12:00:00+00:00", "trained_at": "2026-01-01T12:00:00+00:00",
        "positives": 1, "lists": 1,
    }  # fmt: skip
    interval = {"value": 0.2, "low": 0.1, "high": 0.3}
    names = ("ndcg_at_10", "recall_at_20", "mrr", "coverage_at_10", "gini_at_10")
    for day in range(RELEASES):
        folder = write_release(tmp_path, f"2026-{1 + day // 28:02}-{1 + day % 28:02}")
        for step in (
            "extract", "validate_interactions", "validate_books", "train", "evaluate", "recommend",
            "validate_lists", "publish",
        ):  # fmt: skip
            record = {
                "step": step, "run_by": "x", "started_at": "2026-01-02T03:00:00+00:00",
                "duration_s": 1.0, "peak_memory_bytes": 1, "counts": counts,
            }  # fmt: skip
            write_json(folder.records / f"{step}.json", record)
        models = ("als", "recent_popularity", "all_time_popularity")
        found = {model: dict.fromkeys(names, interval) for model in models}
        write_json(folder.evaluation, {"metrics": found})
    registry = metrics.registry(Artifacts(tmp_path), lambda: "2026-11-30")
    times = []
    for _ in range(6):
        begun = time.perf_counter()
        text = generate_latest(registry)
        times.append(time.perf_counter() - begun)
    report(f"batch: first scrape with {RELEASES} releases", times[0] * 1000, "ms")
    report(
        f"batch: later scrapes with {RELEASES} releases", statistics.median(times[1:]) * 1000, "ms"
    )
    report("batch: size of a scrape", len(text) / 1024, "KiB")
    report("batch: series", _series(text), "series")


def _series(text: bytes) -> int:
    return sum(len(family.samples) for family in text_string_to_metric_families(text.decode()))
