"""Where a fault happens, and what is noted of it.

In: a running deployment, a publisher, a timeline. Out: a `Round` for each time a fault was injected. Guarantees that a
fallback is excused from just before the fault until all reachable nodes say that they are well (and what was lost has
been restored), plus a grace time: the goal of a second is judged apart, on a quiet machine.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import nan

from tests.faults import steps
from tests.faults.deployment import Deployment, RedisNode
from tests.faults.publisher import Publisher
from tests.faults.timeline import NO_RELEASE, STORE_UNAVAILABLE, Span, Timeline

_DEADLINE_S = 60.0


@dataclass
class Round:
    """One injection: when it began, when all was well, when its cause was taken away, when all was well again, its end.

    `findings` are broken promises that no answer shows. Times on the machine's clock; nan where there was no such one.
    """

    fault: str
    begun_at: float = nan
    healed_at: float = nan
    mended_at: float = nan
    whole_at: float = nan
    ended_at: float = nan
    injected: int = 1
    failovers: int = 0
    findings: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """What a fault function works with."""

    deployment: Deployment
    publisher: Publisher
    timeline: Timeline
    chance: random.Random
    watch_s: float
    grace_s: float
    round: Round
    _excuses: list[Span] = field(default_factory=list)

    def primary(self) -> RedisNode:
        """Return one of the primaries by chance."""
        return self.chance.choice([node for node in self.deployment.redis if node.slots])

    def begins(self) -> None:
        """Note the moment before a fault that excuses nothing."""
        self.round.begun_at = time.monotonic()

    def breaks(self, *, lost: bool = False) -> None:
        """Note the moment before a fault of Redis; `lost` where lists and the pointer may be gone with it."""
        self.begins()
        self._excuse(lost=lost)

    def _excuse(self, *, lost: bool) -> None:
        reasons = (STORE_UNAVAILABLE, NO_RELEASE) if lost else (STORE_UNAVAILABLE,)
        now = time.monotonic()
        self._excuses = [self.timeline.breaks(reason, now) for reason in reasons]

    def _recovers(self) -> float:
        now = time.monotonic()
        for span in self._excuses:
            span.until = now + self.grace_s
        return now

    def heals(self, without: RedisNode | None = None) -> None:
        """Wait until all reachable nodes are well; `without` one that a minority sees alone."""
        self.deployment.wait_until_healed(without, _DEADLINE_S)
        self.round.healed_at = self._recovers()

    def restores(self) -> None:
        """Wait until the cluster is whole, restore what was lost, and note that all is well then."""
        self.deployment.wait_until_whole(_DEADLINE_S)
        ended = self.publisher.until_well("restore", steps.mend)
        if not ended.well:
            self.round.findings.append(f"restore: {ended.text or 'killed'}")
        self.round.healed_at = self._recovers()

    def watch(self, seconds: float | None = None) -> None:
        """Let the clients ask."""
        time.sleep(self.watch_s if seconds is None else seconds)

    def mends(self, *acts: Callable[[], None]) -> None:
        """Take the cause away, which is a disturbance too, and wait until the cluster is whole."""
        self.round.mended_at = time.monotonic()
        self._excuse(lost=False)
        for act in acts:
            act()
        self.deployment.wait_until_whole(_DEADLINE_S)
        self.round.whole_at = self._recovers()

    def ends(self) -> None:
        """Note the end, after all of the live release was compared with its files."""
        self.watch()
        found = self.publisher.until_well("audit", steps.compare)
        if not found.well:
            self.round.findings.append(f"audit: {found.text or 'killed'}")
        elif found.outcome.differing or found.outcome.description:
            self.round.findings.append(f"the live release is damaged: {found.outcome}")
        self.round.ended_at = time.monotonic()

    def expects(self, fact: object, what: str) -> None:
        """Note a broken promise unless `fact` holds."""
        if not fact:
            self.round.findings.append(what)
