"""The judge of recorded answers.

In: exchanges in the order in which they were answered, the oracle, the timeline. Out: a violation for everything that
must not be. Guarantees that an answer passes only if it is byte for byte the oracle's for one release that was served
in the interval around it, or a fallback whose reason was true then; that its headers say the same as its body; and
that no client is taken back in time for longer than answers may be stale, but by a recorded change of the pointer.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from tests.faults import oracle
from tests.faults.exchange import Exchange
from tests.faults.oracle import Answer, Oracle, Release
from tests.faults.timeline import DEGRADED, Timeline

#: For so long a replica follows a pointer that it cannot read (serving/README.md).
STALE_S = 30.0

_SHOWN = 200

NO_ANSWER, LATE = "no answer", "late"
WRONG, MIXED, NOT_SERVED = "wrong", "mixed", "not served"
STALE, BACK, UNTRUE, HEADERS = "stale", "back in time", "untrue reason", "headers"

#: What makes an answer one that must never be; the others are requests that got none in time.
INVALID = frozenset({WRONG, MIXED, NOT_SERVED, STALE, BACK, UNTRUE, HEADERS})


@dataclass(frozen=True)
class Violation:
    """What was wrong with one answer."""

    kind: str
    exchange: Exchange
    text: str


@dataclass
class Checker:
    """The judge and what it remembers of every client: the newest release it saw and since when."""

    known: Oracle
    timeline: Timeline
    deadline_s: float
    checked: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    stalest_s: float = 0.0
    _newest: dict[int, tuple[int, float]] = field(default_factory=dict)

    def check(self, exchanges: Iterable[Exchange]) -> list[Violation]:
        """Return everything that is wrong with these answers."""
        found: list[Violation] = []
        for exchange in exchanges:
            self.checked += 1
            found += [Violation(kind, exchange, told) for kind, told in self._judge(exchange)]
        return found

    def _judge(self, exchange: Exchange) -> list[tuple[str, str]]:
        if exchange.status not in {200, 304}:
            said = exchange.text or exchange.body[:_SHOWN].decode(errors="replace")
            return [(NO_ANSWER, f"status {exchange.status} {said}".strip())]
        late = [(LATE, f"{exchange.latency_s:.3f} s")] * (exchange.latency_s > self.deadline_s)
        name = exchange.headers.get("x-release", "")
        release = self.known.release(name)
        if release is None:
            return [*late, (NOT_SERVED, f"release {name!r} was never written")]
        content = _content(exchange, release) if exchange.status == 200 else _unchanged(exchange)
        if isinstance(content, tuple):
            return [*late, content]
        return [
            *late,
            *self._true(exchange, release, content),
            *self._in_time(exchange, name, content),
        ]

    def _true(
        self, exchange: Exchange, release: Release, said: dict[int, Answer]
    ) -> list[tuple[str, str]]:
        """Judge whether the reasons that an answer gives are true."""
        found = []
        broken = False
        for user, answer in said.items():
            reason = answer.reason
            self.reasons[reason or answer.source] += 1
            if reason in DEGRADED:
                broken = True
                if not self.timeline.excused(reason, exchange.due_at, exchange.done_at):
                    found.append((UNTRUE, f"{reason} while nothing was broken"))
            elif answer.kind != release.own(user).kind:
                found.append((UNTRUE, f"user {user}: {answer.kind}, not {release.own(user).kind}"))
        stored = exchange.headers.get("cache-control", "") != "no-store"
        if stored == broken:
            found.append((HEADERS, f"cache-control {exchange.headers.get('cache-control')!r}"))
        return found

    def _in_time(
        self, exchange: Exchange, name: str, said: dict[int, Answer]
    ) -> list[tuple[str, str]]:
        """Judge whether the release was served then, and whether this client had seen a newer one for long."""
        sent_at = exchange.due_at
        if any(answer.reason in DEGRADED for answer in said.values()):
            # A list in memory is as old as the time since when the pointer cannot be read.
            sent_at = min(sent_at, self.timeline.fault_began(sent_at, exchange.done_at))
        stale_s = self.timeline.staleness_s(name, sent_at, exchange.done_at, batch=exchange.batch)
        if stale_s == inf:
            return [(NOT_SERVED, f"{name} had not been live")]
        if stale_s > STALE_S:
            return [(STALE, f"{name} had not been live for {stale_s:.1f} s")]
        self.stalest_s = max(self.stalest_s, stale_s)
        place = self.timeline.place(name, exchange.done_at)
        newest, since = self._newest.get(exchange.client, (-1, inf))
        if place > newest:
            self._newest[exchange.client] = (place, exchange.done_at)
        elif 0 <= place < newest and sent_at - since > STALE_S:
            return [(BACK, f"{name} after a newer release for {sent_at - since:.1f} s")]
        return []


def _content(exchange: Exchange, release: Release) -> dict[int, Answer] | tuple[str, str]:
    """Return what an answer says for each user, or why it is not byte for byte what it must be."""
    try:
        parsed: Any = json.loads(exchange.body)
        lists = parsed["results"] if exchange.batch else [parsed]
        named = {parsed["release"], *(part["release"] for part in lists)}
        said = {part["user_id"]: _as_said(release, part) for part in lists}
    except (ValueError, KeyError, TypeError) as error:
        return WRONG, f"not an answer: {error!r}"
    if named != {release.name}:
        return MIXED, f"header {release.name}, body {sorted(map(str, named))}"
    if tuple(said) != exchange.users:
        return WRONG, f"users {tuple(said)} instead of {exchange.users}"
    return _difference(exchange, release.name, said) or said


def _difference(
    exchange: Exchange, release: str, said: dict[int, Answer]
) -> tuple[str, str] | None:
    """Return what of the bytes of an answer, or of the headers that repeat it, is not as it must be."""
    if exchange.batch:
        must = oracle.batch_body(release, said, exchange.limit)
        headers = {"etag": oracle.batch_tag(release, said, exchange.limit)}
    else:
        ((user, answer),) = said.items()
        must = oracle.body(release, user, answer, exchange.limit)
        headers = {
            "etag": oracle.tag(release, user, answer, exchange.limit),
            "x-source": answer.source,
        }
    if exchange.body != must:
        return WRONG, f"not the list of {release}: {exchange.body[:200]!r}"
    for name, value in headers.items():
        if exchange.headers.get(name, "").removeprefix("W/") != value:
            return HEADERS, f"{name} is {exchange.headers.get(name)}, not {value}"
    return None


def _as_said(release: Release, part: dict[str, Any]) -> Answer:
    """Return the oracle's list for what an answer says of itself; whether that is true is asked later."""
    if part["reason"] in DEGRADED:
        return release.fallback(part["reason"])
    own = release.own(part["user_id"])
    if part["reason"] == own.reason:
        return own
    # An untrue reason must still go with the list it stands for.
    return Answer(part["source"], part["reason"], release.popular)


def _unchanged(exchange: Exchange) -> dict[int, Answer] | tuple[str, str]:
    """Return what a 304 stands for: nothing new to say, if its tag is the one the client sent."""
    tag = exchange.headers.get("etag", "").removeprefix("W/")
    if exchange.body or tag != exchange.if_none_match.removeprefix("W/"):
        return HEADERS, f"304 with {tag}, asked with {exchange.if_none_match}"
    if not tag.startswith(f'"{exchange.headers["x-release"]}.'):
        return MIXED, f"304 with {tag} from {exchange.headers['x-release']}"
    if any(f".{reason}." in tag for reason in DEGRADED):
        return UNTRUE, f"a fallback is never unchanged: {tag}"
    return {}
