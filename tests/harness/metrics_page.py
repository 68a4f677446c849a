"""docs/metrics.md: every metric of our own programs, from the programs themselves.

In: what an edge replica, the metrics exporter on the frozen store, and NGINX's exporter expose. Out: the page.

    python -m tests.harness.metrics_page
"""

import re
import tempfile
import zipfile
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from deploy.nginx.exporter import Answers
from jobs.exporter.collector import BatchCollector
from jobs.exporter.state import Reader
from jobs.runtime.artifacts import Artifacts
from serving.metrics import Metrics
from serving.shelf import EMPTY

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_FROZEN = Path(__file__).parents[1] / "frozen" / "0.1.0.zip"
_HEAD = """# Metrics

Every metric of Nightshelf's own programs. `python -m tests.harness.metrics_page` writes this page; a test compares it
with the programs. [Monitoring](../monitoring/README.md) says where each program is scraped.

| metric | type | meaning |
|---|---|---|
"""
#: Prometheus's client adds when a counter began; nobody asks for it.
_HELP = re.compile(r"^# HELP (nightshelf_\w+(?<!_created)) (.*)\n# TYPE \w+ (\w+)$", re.MULTILINE)


def text() -> str:
    """Return the page."""
    found = sorted(set(_HELP.findall(exposition())))
    rows = "".join(f"| `{name}` | {kind} | {meaning} |\n" for name, meaning, kind in found)
    return _HEAD + rows


def exposition() -> str:
    """Return what Prometheus would scrape of all programs."""
    registry = CollectorRegistry()
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(_FROZEN) as packed:
            packed.extractall(folder)
        artifacts = Artifacts(Path(folder) / "artifacts")
        registry.register(BatchCollector(Reader(artifacts, lambda: "2026-01-03")))
        batch = generate_latest(registry).decode()
    edge = Metrics(lambda: EMPTY, "one").text().decode()
    return "\n".join((edge, batch, Answers().text().decode()))


if __name__ == "__main__":
    PAGE.write_text(text(), "utf-8")
