"""The batch's metrics in Prometheus's terms.

In: a `State`. Out: metric families. Guarantees that the number of series does not depend on how many releases there
are: what belongs to a release is exposed for two of them, by `role` (`newest`, the latest partition's, and `live`), and
names of releases stand in one info metric alone.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from jobs.exporter.state import Reader, Release, State, ended_at, unix
from schemas.manifest import partition_of

PREFIX = "nightshelf_batch_"
_VERDICTS = ("go", "hold", "stop")
_STATUSES = ("passed", "failed", "crashed")
#: Which count of a step's record says how many rows (or lists) it worked on.
_ROWS_IN = {"extract": "rows_in", "train": "positives", "recommend": "lists", "publish": "lists"}
_FACTS = {"interactions": "rows", "books": "books", "lists": "lists"}


class BatchCollector:
    """Collects again at each scrape."""

    def __init__(self, reader: Reader) -> None:
        """`reader` reads the artifacts."""
        self._reader = reader

    def collect(self) -> Iterator[Metric]:
        """Give every metric family."""
        state = self._reader.read()
        roles = {role: one for role, one in (("newest", state.newest), ("live", state.live)) if one}
        yield from _steps(state)
        yield from _attempts(state)
        yield from _releases(state, roles)
        yield from _data(roles)
        yield from _verdicts(roles)
        yield from _quality(roles)


def _gauge(
    name: str, text: str, labels: Iterable[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=list(labels))
    for given, value in values:
        family.add_metric(given, float(value))
    return family


def _single(name: str, text: str, value: float) -> Metric:
    return _gauge(name, text, (), [((), value)])


def _steps(state: State) -> Iterator[Metric]:
    steps = {(step,): record for step, record in sorted(state.steps.items())}
    yield _gauge(
        "step_duration_seconds", "How long each step last took.", ["step"],
        ((k, r["duration_s"]) for k, r in steps.items()),
    )  # fmt: skip
    yield _gauge(
        "step_peak_memory_bytes", "Peak memory of the process of each step's last run.", ["step"],
        ((k, r["peak_memory_bytes"]) for k, r in steps.items()),
    )  # fmt: skip
    yield _gauge(
        "step_last_success_timestamp_seconds", "When each step last ended well.", ["step"],
        ((k, ended_at(r)) for k, r in steps.items()),
    )  # fmt: skip
    yield _gauge(
        "step_rows_in", "Rows (or lists) that each step last worked on.", ["step"],
        ((k, n) for k, r in steps.items() if (n := _rows_in(k[0], r, state)) is not None),
    )  # fmt: skip
    yield _gauge(
        "step_rows_rejected", "Rows that each step last dropped, with a reason.", ["step"],
        ((k, sum(r["counts"]["rejects"].values())) for k, r in steps.items() if "rejects" in r["counts"]),
    )  # fmt: skip


def _rows_in(step: str, record: dict[str, Any], state: State) -> float | None:
    counts = record["counts"]
    if step in _ROWS_IN:
        return float(counts[_ROWS_IN[step]])
    table = counts.get("table")
    newest = state.newest
    if table not in _FACTS or newest is None or counts.get("release") != newest.release:
        return None
    facts = newest.checks.get(table, {}).get("facts", {})
    value = (
        (facts.get("release") or {}).get("rows")
        if table == "interactions"
        else facts.get(_FACTS[table])
    )
    return None if value is None else float(value)


def _attempts(state: State) -> Iterator[Metric]:
    labels = ["command", "dag"]
    for name, key, text in (
        ("command_begun_timestamp_seconds", "begun_at", "When each command last began."),
        ("command_ended_timestamp_seconds", "ended_at", "When each command last ended, well or not; absent if never."),
        ("command_last_success_timestamp_seconds", "last_success_at", "When each command last ended well."),
        ("command_last_failure_timestamp_seconds", "last_failure_at", "When each command last failed."),
        ("command_duration_seconds", "duration_s", "How long each command last took."),
        ("command_exit_code", "exit_code", "Exit code of each command's last end."),
    ):  # fmt: skip
        found = ((k, a[key]) for k, a in sorted(state.attempts.items()) if key in a)
        yield _gauge(name, text, labels, found)
    ends = CounterMetricFamily(
        f"{PREFIX}commands", "Ends of commands by exit code.", labels=[*labels, "exit_code"]
    )
    for (command, dag), one in sorted(state.attempts.items()):
        for code, count in sorted(one.get("ended", {}).items()):
            ends.add_metric((command, dag, code), count)
    yield ends


def _releases(state: State, roles: dict[str, Release]) -> Iterator[Metric]:
    yield _gauge(
        "release_info", "1; which release is the newest and which is live.",
        ["role", "release", "partition"],
        (((role, one.release, partition_of(one.release)), 1) for role, one in roles.items()),
    )  # fmt: skip
    yield _single("releases", "Releases on disk.", state.releases)
    yield _single(
        "live_from_future", "1 while the live release's day has not begun.", state.live_from_future
    )
    yield _single(
        "activated_timestamp_seconds",
        "When the live release was activated; 0 if none.",
        state.activated_at,
    )
    yield _single(
        "waiting_approval_since_timestamp_seconds",
        "Since when the newest release, on hold, waits for a person; 0 if none does.",
        state.waiting_since,
    )
    yield _single("refusals", "Refusals in the journal.", state.refusals)
    yield _single(
        "quarantined", "Quarantined lists: digests that may not be served again.", state.quarantined
    )
    yield _gauge(
        "unreadable_files", "Files that could not be read for these metrics.", ["kind"],
        (((kind,), count) for kind, count in sorted(state.unreadable.items())),
    )  # fmt: skip


def _data(roles: dict[str, Release]) -> Iterator[Metric]:
    extracted = {
        role: one.records["extract"]["counts"]
        for role, one in roles.items()
        if "extract" in one.records
    }
    for name, key, text in (
        ("rows_in", "rows_in", "Rows of the drops that a release was made from."),
        ("rows_accepted", "rows_accepted", "Rows that a release accepted."),
        ("users", "users", "Users of a release."),
        ("books", "books", "Books of a release that somebody rated."),
    ):
        yield _gauge(name, text, ["role"], (((role,), c[key]) for role, c in extracted.items()))
    yield _gauge(
        "rows_rejected", "Rows that a release dropped, by reason.", ["role", "reason"],
        (((role, why), n) for role, c in extracted.items() for why, n in sorted(c["rejects"].items())),
    )  # fmt: skip
    yield _gauge(
        "data_as_of_timestamp_seconds", "Arrival of the newest rating in a release.", ["role"],
        (((role,), unix(c["data_as_of"])) for role, c in extracted.items()),
    )  # fmt: skip
    yield _gauge(
        "trained_timestamp_seconds", "When a release was trained.", ["role"],
        (
            ((role,), unix(one.records["train"]["counts"]["trained_at"]))
            for role, one in roles.items()
            if "train" in one.records
        ),
    )  # fmt: skip
    facts = {
        role: found
        for role, one in roles.items()
        if (found := one.checks.get("interactions", {}).get("facts", {}).get("release"))
    }
    yield _gauge(
        "positive_share_ratio", "Share of a release's ratings that count as positive.", ["role"],
        (((role,), f["positive_share"]) for role, f in facts.items()),
    )  # fmt: skip
    yield _gauge(
        "ratings", "Ratings of a release by stars.", ["role", "stars"],
        (
            ((role, str(stars)), count)
            for role, f in facts.items()
            for stars, count in enumerate(f["ratings"], start=1)
        ),
    )  # fmt: skip


def _verdicts(roles: dict[str, Release]) -> Iterator[Metric]:
    yield _gauge(
        "gate_verdict", "1 for the verdict on a release, 0 for the others.", ["role", "verdict"],
        (
            ((role, verdict), verdict == one.decision["verdict"])
            for role, one in roles.items() if one.decision
            for verdict in _VERDICTS
        ),
    )  # fmt: skip
    yield _gauge(
        "check_status", "1 for what the validation of a table came to, 0 for the others.",
        ["role", "table", "status"],
        (
            ((role, table, status), status == check["status"])
            for role, one in roles.items()
            for table, check in one.checks.items()
            for status in _STATUSES
        ),
    )  # fmt: skip


def _quality(roles: dict[str, Release]) -> Iterator[Metric]:
    for name, bound, text in (
        ("quality", "value", "Offline metrics of a release's model and of the baselines."),
        ("quality_low", "low", "Lower end of the metric's confidence interval."),
        ("quality_high", "high", "Upper end of the metric's confidence interval."),
    ):
        yield _gauge(
            name, text, ["role", "model", "metric"],
            (
                ((role, model, metric), value[bound])
                for role, one in roles.items()
                for model, metrics in sorted(one.metrics.items())
                for metric, value in sorted(metrics.items())
            ),
        )  # fmt: skip
