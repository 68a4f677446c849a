"""Releases that go on being published while things break.

In: settings, a timeline, chance. Out: a thread that writes, loads and activates release after release, now and then
as a canary first, now and then rolled back; the timeline says what was served when. Guarantees that whatever a
command says, `restore` is run until it ends well before the next, as an operator would, and that what the pointer may
have been meanwhile is noted.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from jobs.runtime.settings import Settings
from tests.faults import steps
from tests.faults.steps import Ended, Step, carry_out
from tests.faults.timeline import Span, Timeline
from tests.harness.releases import LENGTH

_FIRST_DAY = date(2026, 1, 1)
_CANARY_S = 1.0
_AGAIN_S = 0.5


@dataclass
class Publisher:
    """Whoever holds `turn` is the only one to change the pointer; `defects` are commands that died of themselves."""

    settings: Settings
    timeline: Timeline
    chance: random.Random
    users: int
    rate: int
    pause_s: float
    live: str | None = None
    before: str | None = None
    written: int = 0
    did: Counter[str] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)
    turn: threading.RLock = field(default_factory=threading.RLock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def loop(self) -> None:
        """Publish until stopped."""
        while not self.stopped.wait(self.pause_s):
            with self.turn:
                self.cycle()

    def cycle(self) -> None:
        """One day: a release is written, loaded, served, perhaps left again; old ones go."""
        release = self.write()
        if not self.load(release, self.rate).well:
            return
        way = self.written % 5
        if way == 1:
            self.try_out(release)
        self.activate(release)
        if way == 3 and self.before is not None:
            self.back()
        self.note("retire", carry_out(steps.make_room, self.settings))

    def write(self, users: int | None = None, length: int = LENGTH) -> str:
        """Write the next release, of all users with lists of the usual length unless told, and return its id."""
        self.written += 1
        day = (_FIRST_DAY + timedelta(days=self.written)).isoformat()
        given = (day, self.written, users or self.users, length)
        ended = carry_out(steps.write, self.settings, *given)
        assert ended.well, ended.text
        return str(ended.outcome)

    def load(self, release: str, rate: int = 0) -> Ended:
        """Publish a release; if that did not end well, see to it that the next one can."""
        ended = self.note("publish", carry_out(steps.load, self.settings, release, rate))
        if not ended.well:
            self.settle(ended.begun_at, release)
        return ended

    def activate(self, release: str, fatal_write: int | None = None) -> Ended:
        """Activate a release."""
        step = Step(steps.go_live, self.settings, release, fatal_write=fatal_write)
        return self._moved("activate", step.ended(), release)

    def back(self) -> Ended:
        """Roll back."""
        target = self.before
        assert target is not None
        ended = self._moved("rollback", carry_out(steps.go_back, self.settings), target)
        self.before = None
        return ended

    def try_out(self, release: str) -> None:
        """Serve a release as a canary for a while; an activation ends it."""
        ended = self.note("canary", carry_out(steps.try_out, self.settings, release))
        self.timeline.canary_starts(release, ended.begun_at)
        if ended.well:
            time.sleep(_CANARY_S)
        else:
            self.settle(ended.begun_at, None)

    def promote(self, release: str) -> Ended:
        """Make the canary, which is this release, the live one."""
        return self._moved("promote", carry_out(steps.promote, self.settings), release)

    def _moved(self, what: str, ended: Ended, release: str) -> Ended:
        self.note(what, ended)
        if ended.well:
            self.serves(release, ended.begun_at, ended.done_at)
        else:
            self.settle(ended.begun_at, release)
        return ended

    def serves(self, release: str, begun_at: float, done_at: float) -> None:
        """Note that a release is live."""
        if release != self.live:
            self.timeline.goes_live(release, begun_at, done_at)
            self.live, self.before = release, self.live

    def settle(self, begun_at: float, wanted: str | None) -> Ended:
        """Run `restore` until it ends well; note what is live, and that `wanted` may have been."""
        while True:
            ended = self.note("restore", carry_out(steps.mend, self.settings))
            if ended.well or self.stopped.is_set():
                break
            time.sleep(_AGAIN_S)
        if ended.well and ended.outcome.release != self.live:
            self.serves(ended.outcome.release, begun_at, ended.done_at)
        elif wanted is not None and wanted != self.live:
            self.timeline.live.append(Span(wanted, begun_at, ended.done_at))
        return ended

    def note(self, what: str, ended: Ended) -> Ended:
        """Count how a command ended."""
        how = "killed" if ended.killed else "done" if ended.well else "told what to do"
        if ended.text and not ended.advice:
            how = "defect"
            self.defects.append(f"{what}: {ended.text}")
        self.did[f"{what} {how}"] += 1
        return ended

    def until_well(self, what: str, command: Callable[..., Any], *given: Any) -> Ended:
        """Repeat a command until it ends well, for a minute."""
        deadline = time.monotonic() + 60
        while True:
            ended = self.note(what, carry_out(command, self.settings, *given))
            if ended.well or time.monotonic() > deadline:
                return ended
            time.sleep(_AGAIN_S)
