"""Answers counted and timed by what they were."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from serving.tally import BOUNDS, Tally

_KINDS = (
    ("recommendations", 200, "als", "", "live", "2026-01-01-00000000"),
    ("recommendations", 304, "als", "", "canary", "2026-01-02-00000000"),
    ("recommendations", 400, "", "", "", ""),
    ("popular", 200, "popularity", "unknown_user", "live", "2026-01-01-00000000"),
)
#: Under, on and over every bound.
_SECONDS = [bound * factor for bound in BOUNDS for factor in (0.99, 1, 1.01)]


def _samples(registry: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_it_shows_what_the_library_s_own_counter_and_histogram_show() -> None:
    """The same answers give the same series, buckets, sums and counts as prometheus_client's own metrics."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally("x_", set)
    ours.register(tally)
    labels = ["route", "status", "source", "reason", "arm", "release"]
    requests = Counter("x_requests", "-", labels, registry=theirs)
    where = ["route", "release"]
    durations = Histogram("x_request_duration_seconds", "-", where, buckets=BOUNDS, registry=theirs)
    lookups = Histogram("x_lookup_duration_seconds", "-", buckets=BOUNDS, registry=theirs)
    for number, seconds in enumerate(_SECONDS):
        route, status, source, reason, arm, release = _KINDS[number % len(_KINDS)]
        tally.series(route, status, source, reason, arm, release).answered(seconds)
        requests.labels(route, status, source, reason, arm, release).inc()
        durations.labels(route, release).observe(seconds)
        tally.lookups.observe(seconds)
        lookups.observe(seconds)
    found, expected = _samples(ours), _samples(theirs)
    assert len(expected) == 4 + 4 * (len(BOUNDS) + 3) + len(BOUNDS) + 3
    assert found == expected


def test_an_answer_that_nobody_timed_is_counted() -> None:
    """An answer that failed is counted, and takes part in no histogram."""
    registry = CollectorRegistry()
    tally = Tally("x_", set)
    registry.register(tally)
    tally.series("popular", 500, "", "", "", "").count()
    found = {name: value for (name, _), value in _samples(registry).items()}
    assert found["x_requests_total"] == 1
    assert found["x_request_duration_seconds_count"] == 0
