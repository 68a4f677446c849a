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

#: What a fault is judged by.
FAILOVER, HEAL, EDGE, NOTHING = "failover", "heal", "edge", "nothing"
#: Requests that were due while no fault was under way.
BETWEEN = "between faults"

#: Seconds beyond the node time-out after which lists are personal again.
FAILOVER_S = 2.5
_AFTER_OK_S = 1.0
_REDIS_P99_S, _EDGE_P99_S, _LATER_P99_S = 0.070, 0.300, 0.070
_EDGE_S = 3.0
_SHOWN = 3
#: When each of 400 requests a second gets lists of its own for this long, the fault has taken none away any more.
_QUIET_S = 1.0


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
            return max(self.after_ok_s, default=0) <= _AFTER_OK_S and self.p99_s <= _REDIS_P99_S
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


@dataclass
class _Window:
    """The exchanges of one round, as far as figures need them; fallbacks are pairs of due and done."""

    round: Round
    answers: list[tuple[float, float]] = field(default_factory=list)
    fallbacks: list[tuple[float, float]] = field(default_factory=list)

    def set_late_apart(self, lookup_deadline_s: float) -> int:
        """Take away fallbacks of a busy machine that came long after those of the fault; return how many."""
        groups: list[list[tuple[float, float]]] = []
        for due, done in sorted(self.fallbacks):
            if not groups or due - groups[-1][-1][0] >= _QUIET_S:
                groups.append([])
            groups[-1].append((due, done))
        late = [one for one in groups[1:] if self._of_a_busy_machine(one, lookup_deadline_s)]
        self.fallbacks = [pair for group in groups if group not in late for pair in group]
        return sum(map(len, late))

    def _of_a_busy_machine(self, group: list[tuple[float, float]], deadline_s: float) -> bool:
        one, begun = self.round, group[0][0]
        # What was lost comes back between the two: a disturbance of its own.
        settling = one.mended_at <= begun <= one.whole_at + _AFTER_OK_S
        stalls = [pair for pair in group if pair[1] - pair[0] >= deadline_s]
        return (
            begun > one.healed_at + _AFTER_OK_S
            and not settling
            and all(_beside(pair, stalls, deadline_s) for pair in group)
        )

    def again_s(self, since: float, until: float) -> float:
        """Return seconds from a moment to the last fallback that was asked for before another."""
        ended = [done for due, done in self.fallbacks if due < until]
        return max(0.0, max(ended, default=since) - since)

    def after_ok_s(self) -> float:
        """Return for how long there were fallbacks after all was well."""
        end = self.round.mended_at
        first = self._asked_after(self.round.healed_at, inf if isnan(end) else end)
        return max(first, self._asked_after(self.round.whole_at, inf))

    def _asked_after(self, since: float, until: float) -> float:
        if isnan(since):
            return 0.0
        asked = [due for due, _ in self.fallbacks if since < due < until]
        return max(asked, default=since) - since

    def latencies(self, since: float, until: float) -> list[float]:
        """Return the latencies of what was due in an interval."""
        return [done - due for due, done in self.answers if since <= due < until]


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
    windows = [_Window(one) for one in ordered]
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
        found[window.round.fault].late += window.set_late_apart(lookup_deadline_s)
    for row in found.values():
        _times(row, [window for window in windows if window.round.fault == row.fault])
    return [row for row in found.values() if row.requests], told


def _count(
    wrong: list[tuple[Row, Violation]], stalls: list[tuple[float, float]], deadline_s: float
) -> list[str]:
    told: list[str] = []
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
            told.append(f"{row.fault}: {violation.kind}: {violation.told} ({asked})")
    return told


def _late(violation: Violation, stalls: list[tuple[float, float]], deadline_s: float) -> bool:
    """Say whether a fallback outside of every fault is true because its look-up had reached its deadline.

    Look-ups wait in one pipeline and fail with the oldest of it: one that comes earlier than its own deadline needs
    another beside it that was as long under way.
    """
    if violation.kind != UNTRUE or not violation.told.startswith(STORE_UNAVAILABLE):
        return False
    return _beside((violation.exchange.due_at, violation.exchange.done_at), stalls, deadline_s)


def _beside(
    pair: tuple[float, float], stalls: list[tuple[float, float]], deadline_s: float
) -> bool:
    due, done = pair
    return any(b <= done + deadline_s and due - deadline_s <= e for b, e in stalls)


def _times(row: Row, windows: list[_Window]) -> None:
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
