"""The exchanges of one round of a campaign, and which of its fallbacks were the fault's.

In: a round, and when its requests were due and done. Out: times since the fault and since all was well, latencies.
Guarantees that a fallback is set apart from the fault's only where its look-up was late, every list had been personal
for a second, and all had been well for longer than a fault may be felt.
"""

from dataclasses import dataclass, field
from math import inf, isnan

from tests.faults.stage import Round

#: With other faults than a kill: seconds from when all was well until nobody gets a fallback any more.
AFTER_OK_S = 1.0
#: When each of 400 requests a second gets lists of its own for this long, the fault has taken none away any more.
_QUIET_S = 1.0


@dataclass
class Window:
    """The exchanges of one round, as far as figures need them; fallbacks are pairs of due and done."""

    round: Round
    answers: list[tuple[float, float]] = field(default_factory=list)
    fallbacks: list[tuple[float, float]] = field(default_factory=list)

    def set_late_apart(self, stalls: list[tuple[float, float]], deadline_s: float) -> int:
        """Take away fallbacks of a busy machine that came long after those of the fault; return how many.

        `stalls` are the fallbacks whose own look-up reached its deadline.
        """
        groups: list[list[tuple[float, float]]] = []
        for due, done in sorted(self.fallbacks):
            if not groups or due - groups[-1][-1][0] >= _QUIET_S:
                groups.append([])
            groups[-1].append((due, done))
        kept, late = groups[:1], 0
        for group in groups[1:]:
            if self._settled(group[0][0]) and all(beside(one, stalls, deadline_s) for one in group):
                late += len(group)
            else:
                kept.append(group)
        self.fallbacks = [pair for group in kept for pair in group]
        return late

    def _settled(self, moment: float) -> bool:
        """Say whether all had been well for longer than a fault may be felt."""
        one = self.round
        # What was lost comes back between the two: a disturbance of its own.
        settling = one.mended_at <= moment <= one.whole_at + AFTER_OK_S
        return moment > one.healed_at + AFTER_OK_S and not settling

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


def beside(pair: tuple[float, float], stalls: list[tuple[float, float]], deadline_s: float) -> bool:
    """Say whether a request was under way within a deadline of one that stalled; pairs are of due and done, seconds."""
    due, done = pair
    return any(b <= done + deadline_s and due - deadline_s <= e for b, e in stalls)
