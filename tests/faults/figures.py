"""What a campaign found, per fault, and whether it is as it must be.

In: rounds, the recorded exchanges, the checker. Out: a `Row` for each fault, which can be written and read as JSON.
Guarantees that a request counts for the round in which it was due, and that goals are judged from the figures alone.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf, isnan
from statistics import median, quantiles

from tests.faults.checker import INVALID, LATE, NO_ANSWER, UNTRUE, Checker, Violation
from tests.faults.exchange import Exchange
from tests.faults.stage import Round
from tests.faults.timeline import DEGRADED, STORE_UNAVAILABLE
from tests.faults.window import AFTER_OK_S, Window, beside

#: What a fault is judged by.
FAILOVER, HEAL, EDGE, NOTHING = "failover", "heal", "edge", "nothing"
#: Requests that were due while no fault was under way.
BETWEEN = "between faults"

#: Seconds beyond the node time-out after which lists are personal again.
FAILOVER_S = 2.5
_REDIS_P99_S, _EDGE_P99_S, _LATER_P99_S = 0.070, 0.300, 0.070
_EDGE_S = 3.0
_SHOWN = 3


@dataclass
class Row:
    """One fault. Seconds; `again_s` from each fault to the last fallback, `after_ok_s` from when all was well to it.

    `late` are fallbacks whose look-up took longer than its deadline, of a busy machine: true, and no fault's. They come
    without a fault, or when all had been well and every list personal for a second.
    `p99_s` is over the time without personal lists (at least 1 s; with an edge replica 3), `later_p99_s` later.
    """

    fault: str
    goal: str
    injected: int = 0
    failovers: int = 0
    requests: int = 0
    wrong: int = 0
    unanswered: int = 0
    fallbacks: int = 0
    late: int = 0
    again_s: list[float] = field(default_factory=list)
    after_ok_s: list[float] = field(default_factory=list)
    p99_s: float = 0.0
    later_p99_s: float = 0.0
    findings: list[str] = field(default_factory=list)

    def plus(self, other: "Row") -> "Row":
        """Return the row of two runs; of 99th percentiles the greater one."""
        return Row(
            self.fault,
            self.goal,
            self.injected + other.injected,
            self.failovers + other.failovers,
            self.requests + other.requests,
            self.wrong + other.wrong,
            self.unanswered + other.unanswered,
            self.fallbacks + other.fallbacks,
            self.late + other.late,
            self.again_s + other.again_s,
            self.after_ok_s + other.after_ok_s,
            max(self.p99_s, other.p99_s),
            max(self.later_p99_s, other.later_p99_s),
            self.findings + other.findings,
        )

    @property
    def correct(self) -> bool:
        """Whether nothing was wrong, nobody was left without an answer and no promise was broken."""
        return not (self.wrong or self.unanswered or self.findings)

    def in_time(self, node_timeout_s: float) -> bool:
        """Whether the goals of time were met."""
        if self.goal == FAILOVER:
            return max(self.again_s, default=0) <= node_timeout_s + FAILOVER_S and (
                self.p99_s <= _REDIS_P99_S
            )
        if self.goal == HEAL:
            return max(self.after_ok_s, default=0) <= AFTER_OK_S and self.p99_s <= _REDIS_P99_S
        if self.goal == EDGE:
            return self.p99_s <= _EDGE_P99_S and self.later_p99_s <= _LATER_P99_S
        return True

    @property
    def median_s(self) -> float:
        """The median time to personal lists."""
        return median(self.again_s) if self.again_s else 0.0

    @property
    def greatest_s(self) -> float:
        """The longest time to personal lists."""
        return max(self.again_s, default=0.0)


def rows(
    goals: dict[str, str],
    rounds: list[Round],
    exchanges: Iterable[Exchange],
    checker: Checker,
    lookup_deadline_s: float,
) -> tuple[list[Row], list[str]]:
    """Check all exchanges and return a row per fault, and what was wrong in words."""
    ordered = sorted(rounds, key=lambda one: one.begun_at)
    begins = [one.begun_at for one in ordered]
    windows = [Window(one) for one in ordered]
    found = {fault: Row(fault, goals.get(fault, NOTHING)) for fault in (*goals, BETWEEN)}
    wrong: list[tuple[Row, Violation]] = []
    stalls: list[tuple[float, float]] = []
    for exchange in exchanges:
        place = bisect_right(begins, exchange.due_at) - 1
        inside = place >= 0 and exchange.due_at <= ordered[place].ended_at
        row = found[ordered[place].fault if inside else BETWEEN]
        row.requests += 1
        fallback = any(reason.encode() in exchange.body for reason in DEGRADED)
        row.fallbacks += fallback
        if inside:
            windows[place].answers.append((exchange.due_at, exchange.done_at))
            if fallback:
                windows[place].fallbacks.append((exchange.due_at, exchange.done_at))
        if fallback and exchange.latency_s >= lookup_deadline_s:
            stalls.append((exchange.due_at, exchange.done_at))
        wrong += [(row, violation) for violation in checker.check([exchange])]
    told = _count(wrong, stalls, lookup_deadline_s)
    for one in ordered:
        found[one.fault].injected += one.injected
        found[one.fault].failovers += one.failovers
        found[one.fault].findings += one.findings
    for window in windows:
        found[window.round.fault].late += window.set_late_apart(stalls, lookup_deadline_s)
    for row in found.values():
        _times(row, [window for window in windows if window.round.fault == row.fault])
    return [row for row in found.values() if row.requests], told


def _count(
    wrong: list[tuple[Row, Violation]], stalls: list[tuple[float, float]], deadline_s: float
) -> list[str]:
    text: list[str] = []
    shown: Counter[tuple[str, str]] = Counter()
    for row, violation in wrong:
        if _late(violation, stalls, deadline_s):
            row.late += 1
            continue
        row.wrong += violation.kind in INVALID
        row.unanswered += violation.kind in {NO_ANSWER, LATE}
        shown[row.fault, violation.kind] += 1
        if shown[row.fault, violation.kind] <= _SHOWN:
            exchange = violation.exchange
            asked = f"{exchange.path} of client {exchange.client} due at {exchange.due_at:.3f}"
            text.append(f"{row.fault}: {violation.kind}: {violation.text} ({asked})")
    return text


def _late(violation: Violation, stalls: list[tuple[float, float]], deadline_s: float) -> bool:
    """Say whether a fallback outside of every fault is true because its look-up had reached its deadline.

    Look-ups wait in one pipeline and fail with the oldest of it: one that comes earlier than its own deadline needs
    another beside it that was as long under way.
    """
    if violation.kind != UNTRUE or not violation.text.startswith(STORE_UNAVAILABLE):
        return False
    return beside((violation.exchange.due_at, violation.exchange.done_at), stalls, deadline_s)


def _times(row: Row, windows: list[Window]) -> None:
    during, later = [], []
    for window in windows:
        one = window.round
        again_s = window.again_s(one.begun_at, inf if isnan(one.mended_at) else one.mended_at)
        row.again_s.append(round(again_s, 3))
        row.after_ok_s.append(round(window.after_ok_s(), 3))
        end = one.begun_at + (_EDGE_S if row.goal == EDGE else max(again_s, 1.0))
        during += window.latencies(one.begun_at, end)
        later += window.latencies(end, one.ended_at)
    row.p99_s, row.later_p99_s = _p99(during), _p99(later)


def _p99(latencies: list[float]) -> float:
    return round(quantiles(latencies, n=100)[-1], 4) if len(latencies) > 1 else 0.0
