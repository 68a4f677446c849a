"""What was true when: which release was live, what was broken.

In: events as the campaign brings them about. Out: answers to "could this be true in that interval?". Guarantees no
more than what is known from outside: a change takes effect at some moment between the call of its command and its
end, so both releases are right in between.
"""

from dataclasses import dataclass, field
from math import inf

STORE_UNAVAILABLE, NO_RELEASE = "store_unavailable", "no_release"
DEGRADED = frozenset({STORE_UNAVAILABLE, NO_RELEASE})


@dataclass
class Span:
    """An interval; `until` is infinite while it lasts."""

    what: str
    since: float
    until: float = inf

    def overlaps(self, begin: float, end: float) -> bool:
        """Say whether it has a moment in common with another interval."""
        return self.since <= end and begin <= self.until


@dataclass
class Timeline:
    """Spans of releases served, as live one or as canary, and of faults by the reason they excuse."""

    live: list[Span] = field(default_factory=list)
    canary: list[Span] = field(default_factory=list)
    faults: list[Span] = field(default_factory=list)

    def goes_live(self, release: str, begun: float, done: float) -> None:
        """Note a change of the pointer that began and was done at these moments; it ends a canary."""
        for span in (*self.live, *self.canary):
            span.until = min(span.until, done)
        self.live.append(Span(release, begun))

    def canary_starts(self, release: str, begun: float) -> None:
        """Note a second release beside the live one."""
        self.canary.append(Span(release, begun))

    def canary_stops(self, done: float) -> None:
        """Note that only the live release is served."""
        for span in self.canary:
            span.until = min(span.until, done)

    def breaks(self, reason: str, since: float) -> Span:
        """Note a fault that excuses answers with this reason; set its `until` when it has been recovered from."""
        span = Span(reason, since)
        self.faults.append(span)
        return span

    def excused(self, reason: str, begin: float, end: float) -> bool:
        """Say whether a fault makes this reason true at some moment of an interval."""
        return any(span.what == reason and span.overlaps(begin, end) for span in self.faults)

    def fault_began(self, begin: float, end: float) -> float:
        """Return when the earliest fault that touches an interval began, `begin` where there is none."""
        return min((s.since for s in self.faults if s.overlaps(begin, end)), default=begin)

    def staleness_s(self, release: str, sent_at: float, done_at: float, *, batch: bool) -> float:
        """Return for how long a release had not been served any more when it was asked for.

        0 while it is, infinite when it was not yet or never. Batches know no canary.
        """
        spans = self.live if batch else (*self.live, *self.canary)
        ages = [sent_at - s.until for s in spans if s.what == release and s.since <= done_at]
        return max(0.0, min(ages, default=inf))

    def place(self, release: str, done_at: float) -> int:
        """Return which one in the order of live releases this is, counting its last time before a moment; -1: none."""
        places = [n for n, s in enumerate(self.live) if s.what == release and s.since <= done_at]
        return max(places, default=-1)
