"""Answers counted and timed by what they were.

In: the labels and the seconds of each answer, and the lists of each batch. Out: families of prometheus_client at a
scrape. Guarantees bounded labels, and that an answer costs three additions: prometheus_client's own metrics take a lock
for each, 6 % of a request (py-spy). For the one thread of an event loop only.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

#: Of so many releases series are kept; those served at the moment always are.
_MOST_RELEASES = 4
#: Seconds. Around 1 ms, where the answers are; 10 ms is the objective, 50 ms the deadline.
BOUNDS = (
    0.00025,
    0.0005,
    0.001,
    0.002,
    0.004,
    0.007,
    0.01,
    0.02,
    0.05,
    0.07,
    0.1,
    0.3,
    1.0,
    2.0,
    5.0,
)
_BOUND_TEXTS = [*map(floatToGoString, BOUNDS), "+Inf"]


class Durations:
    """How often something took how long."""

    __slots__ = ("_counts", "_sum_s")

    def __init__(self) -> None:
        """Nothing was timed yet."""
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one more."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum_s += seconds

    def add_to(self, family: HistogramMetricFamily, labels: Iterable[str]) -> None:
        """Add the buckets, each with all that were faster, to a family."""
        buckets = list(zip(_BOUND_TEXTS, map(float, accumulate(self._counts)), strict=True))
        family.add_metric(list(labels), buckets, self._sum_s)


class Series:
    """The answers of one kind; those of one route and release share their durations."""

    __slots__ = ("_durations", "total")

    def __init__(self, durations: Durations) -> None:
        """None was given yet."""
        self.total = 0
        self._durations = durations

    def count(self) -> None:
        """Count an answer that nobody timed."""
        self.total += 1

    def answered(self, seconds: float) -> None:
        """Count an answer that took so long."""
        self.total += 1
        self._durations.observe(seconds)


class Tally(Collector):
    """All answers of this process and its pipelines to Redis, as a collector."""

    def __init__(self, prefix: str, served: Callable[[], set[str]]) -> None:
        """`served` names the releases whose series stay, however old."""
        self._prefix = prefix
        self._served = served
        self._series: dict[tuple[str, ...], Series] = {}
        self._durations: dict[tuple[str, str], Durations] = {}
        #: Lists in batches by source, reason and release; the batch itself is one answer of `_series`.
        self._lists: Counter[tuple[str, str, str]] = Counter()
        #: Releases that have series, the oldest first.
        self._releases: list[str] = []
        self.lookups = Durations()
        self.series = cache(self._resolve)

    def _resolve(  # noqa: PLR0917  # the labels in their order
        self, route: str, status: int, source: str, reason: str, arm: str, release: str
    ) -> Series:
        if release and release not in self._releases:
            self._releases.append(release)
            self._forget_oldest()
        durations = self._durations.setdefault((route, release), Durations())
        labels = (route, str(status), source, reason, arm, release)
        return self._series.setdefault(labels, Series(durations))

    def batch(self, release: str, lists: Iterable[tuple[str, str]]) -> None:
        """Count each list of a batch by its source and reason."""
        self._lists.update((source, reason, release) for source, reason in lists)

    def _forget_oldest(self) -> None:
        """Drop the series of releases that nobody is served any more, so that they do not grow for ever."""
        served = self._served()
        gone = [release for release in self._releases[:-1] if release not in served]
        for release in gone[: max(0, len(self._releases) - _MOST_RELEASES)]:
            self._releases.remove(release)
            self._series = {k: one for k, one in self._series.items() if k[-1] != release}
            self._durations = {k: one for k, one in self._durations.items() if k[-1] != release}
            self._lists = Counter({k: n for k, n in self._lists.items() if k[-1] != release})
            self.series.cache_clear()

    def collect(self) -> Iterable[Metric]:
        """Yield the counters of answers and of lists, the histograms of the durations of answers and pipelines."""
        requests = CounterMetricFamily(
            f"{self._prefix}requests",
            "Answers by route, status, source, reason, arm (live, canary, named by the client) and release.",
            labels=["route", "status", "source", "reason", "arm", "release"],
        )
        for labels, series in self._series.items():
            requests.add_metric(labels, series.total)
        yield requests
        lists = CounterMetricFamily(
            f"{self._prefix}batch_lists",
            "Lists in answers of the batch route by source, reason and release: one for each user of a batch.",
            labels=["route", "source", "reason", "release"],
        )
        for (source, reason, release), total in self._lists.items():
            lists.add_metric(["batch", source, reason, release], total)
        yield lists
        durations = HistogramMetricFamily(
            f"{self._prefix}request_duration_seconds",
            "Time from request to answer.",
            labels=["route", "release"],
        )
        for where, one in self._durations.items():
            one.add_to(durations, where)
        yield durations
        lookups = HistogramMetricFamily(
            f"{self._prefix}lookup_duration_seconds", "Time of one pipeline to one Redis node."
        )
        self.lookups.add_to(lookups, ())
        yield lookups
