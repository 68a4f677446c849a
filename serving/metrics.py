"""Metrics of an edge replica in Prometheus's form.

In: what happens and what is known. Out: the text of `/metrics`. Guarantees that answers are counted and timed by the
release they were made from (`tally`), and that the rest is computed at a scrape.
"""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from serving.shelf import View
from serving.tally import Tally

_PREFIX = "nightshelf_edge_"
#: Gauges computed from the view at each scrape: name, help, value.
_GAUGES: tuple[tuple[str, str, Callable[[View], float]], ...] = (
    (
        "data_as_of_timestamp_seconds",
        "Arrival of the newest rating in the live release.",
        lambda view: _unix(view.live.meta.data_as_of) if view.live else 0,
    ),
    (
        "trained_timestamp_seconds",
        "When the live release was trained.",
        lambda view: _unix(view.live.meta.trained_at) if view.live else 0,
    ),
    (
        "activated_timestamp_seconds",
        "When the pointer last moved.",
        lambda view: view.pointer.activated_at_ms / 1000 if view.pointer else 0,
    ),
    (
        "pointer_age_seconds",
        "Time since the pointer was last read.",
        lambda view: time.monotonic() - view.refreshed_at,
    ),
    (
        "popularity_age_seconds",
        "Time since the popularity lists in memory were read.",
        lambda view: time.time() - view.live.read_at if view.live else 0,
    ),
    (
        "generation",
        "Generation of the live pointer.",
        lambda view: view.pointer.generation if view.pointer else 0,
    ),
    (
        "canary_share",
        "Share of users that the canary answers.",
        lambda view: view.pointer.canary_share if view.pointer and view.pointer.canary else 0,
    ),
    (
        "workers",
        "1 for each worker process that answers this scrape.",
        lambda _view: 1,
    ),
    (
        "has_release",
        "1 while a live release is known.",
        lambda view: float(view.pointer is not None),
    ),
)


class Metrics:
    """The metrics of this process, in a registry of their own."""

    def __init__(self, view: Callable[[], View], instance: str) -> None:
        """`view` gives what is served at the moment of a scrape."""
        self._view = view
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        tally = Tally(_PREFIX, self._served)
        self.series = tally.series
        self.batch = tally.batch
        self.observe_lookup = tally.lookups.observe
        registry.register(tally)
        self._release = Gauge(
            f"{_PREFIX}release_info",
            "1 for each release that is served.",
            ["release", "partition", "arm"],
            registry=registry,
        )
        for name, text, value in _GAUGES:
            gauge = Gauge(f"{_PREFIX}{name}", text, registry=registry)
            gauge.set_function(partial(self._now, value))
        self.regressions = Counter(
            f"{_PREFIX}pointer_refusals",
            "Refreshes that failed or showed an older generation.",
            registry=registry,
        )
        # Not `instance`: that is Prometheus's own, and ours would come out as `exported_instance`.
        build = Gauge(f"{_PREFIX}build_info", "1.", ["version", "replica"], registry=registry)
        build.labels(version("nightshelf"), instance).set(1)

    def _now(self, value: Callable[[View], float]) -> float:
        return float(value(self._view()))

    def _served(self) -> set[str]:
        view = self._view()
        return {shelf.release for shelf in (view.live, view.canary) if shelf is not None}

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        view = self._view()
        self._release.clear()
        for arm, shelf in (("live", view.live if view.pointer else None), ("canary", view.canary)):
            if shelf is not None:
                self._release.labels(shelf.release, shelf.meta.partition, arm).set(1)
        return generate_latest(self._registry)


def _unix(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
