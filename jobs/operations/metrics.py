"""Expose: the batch's state for Prometheus, from the artifacts, at each scrape.

In: the artifacts folder. Out: `/metrics` over HTTP, or a file for node_exporter's textfile collector. Guarantees that
nothing has to live through a run for its end, or its missing end, to be seen: what is exposed is read from the disk.
"""

import threading
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest, start_http_server

from jobs.exporter.collector import BatchCollector
from jobs.exporter.state import Reader
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import TryLater
from jobs.runtime.files import write_text
from schemas.environment import Node


def registry(artifacts: Artifacts, today: Callable[[], str]) -> CollectorRegistry:
    """Return a registry that reads the artifacts again at each scrape; `today` is the latest day that has begun."""
    found = CollectorRegistry(auto_describe=False)
    found.register(BatchCollector(Reader(artifacts, today)))
    return found


def run(artifacts: Artifacts, out: Path, today: Callable[[], str]) -> int:
    """Write the metrics to `out`, complete or not at all, and return their size in bytes."""
    text = generate_latest(registry(artifacts, today)).decode()
    write_text(out, text)
    # The file belongs to the jobs, its reader is node_exporter.
    out.chmod(0o644)
    return len(text)


def serve(artifacts: Artifacts, listen: Node, today: Callable[[], str]) -> None:
    """Answer scrapes until the process is ended. Raises TryLater when the address cannot be taken."""
    try:
        _, thread = start_http_server(listen.port, listen.host, registry(artifacts, today))
    except OSError as error:
        raise TryLater(
            f"the address cannot be listened on: {error.strerror}",
            f"{listen.host}:{listen.port}",
            "give another --listen HOST:PORT, or stop what listens there",
        ) from error
    assert isinstance(thread, threading.Thread)  # noqa: S101  # prometheus_client's own type
    thread.join()
