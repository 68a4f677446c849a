"""The checker finds every kind of error that is planted, and nothing in right answers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.checker import Checker
from tests.faults.exchange import Exchange
from tests.faults.oracle import Oracle
from tests.faults.timeline import STORE_UNAVAILABLE, Timeline
from tests.harness.releases import write_release

#: User 1's list in the first release starts at book 2 and goes up; popular books are 1, 2, 3 (tests.harness.releases).
_ITEMS = '{"book_id":2,"score":1},{"book_id":3,"score":0.5}'
_POPULAR = '{"book_id":1,"score":1},{"book_id":2,"score":0.5}'
_KNOWN, _UNKNOWN = 1, 99


class Place:
    """Two releases: the first live from second 100, the second from 200; a fault from 300 to 310."""

    def __init__(self, folders: list[Path]) -> None:
        """Read the releases."""
        self.oracle, self.timeline = Oracle(), Timeline()
        self.first, self.second, self.never = (self.oracle.learn(f).name for f in folders)
        self.timeline.goes_live(self.first, 100.0, 100.5)
        self.timeline.goes_live(self.second, 200.0, 200.5)
        self.timeline.breaks(STORE_UNAVAILABLE, 300.0).until = 310.0
        self.checker = Checker(self.oracle, self.timeline, deadline_s=1.0)

    def exchange(
        self,
        release: str,
        at: float,
        *,
        user: int = _KNOWN,
        reason: str | None = None,
        items: str = _ITEMS,
    ) -> Exchange:
        """Return an exchange as a right edge would have it, written out by hand."""
        source = "popularity" if reason else "als"
        why = f'"{reason}"' if reason else "null"
        kind = f"popularity.{reason}" if reason else "als"
        body = (
            f'{{"user_id":{user},"release":"{release}","source":"{source}","reason":{why},'
            f'"items":[{items}]}}'
        )
        return Exchange(
            client=1,
            users=(user,),
            limit=2,
            batch=False,
            if_none_match="",
            due_at=at,
            done_at=at + 0.01,
            status=200,
            headers={
                "x-release": release,
                "x-source": source,
                "etag": f'"{release}.{kind}.u{user}.2"',
                "cache-control": "no-store" if reason == STORE_UNAVAILABLE else "public, max-age=5",
            },
            body=body.encode(),
        )

    def batch(self, at: float, *, second: str | None = None) -> Exchange:
        """Return a batch of two users from the first release; the second list may come from another one."""
        one = self.exchange(self.first, at)
        two = self.exchange(
            second or self.first, at, user=_UNKNOWN, reason="unknown_user", items=_POPULAR
        )
        body = f'{{"release":"{self.first}","results":[{one.body.decode()},{two.body.decode()}]}}'
        tag = f'"{self.first}.als-unknown_user.b1-99.2"'
        return replace(
            one,
            users=(_KNOWN, _UNKNOWN),
            batch=True,
            headers={**one.headers, "etag": tag},
            body=body.encode(),
        )

    def kinds(self, *exchanges: Exchange) -> list[str]:
        """Return the kinds of violations that the checker finds."""
        return [violation.kind for violation in self.checker.check(exchanges)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three releases, each with lists ten books further on."""
    root = tmp_path_factory.mktemp("artifacts")
    return [
        write_release(root, f"2026-01-0{day}", variant=10 * (day - 1)).root for day in (1, 2, 3)
    ]


@pytest.fixture
def place(folders: list[Path]) -> Place:
    """A timeline and a checker of this test alone."""
    return Place(folders)


def test_right_answers_pass(place: Place) -> None:
    """Personal lists, an unknown user, a batch, a true fallback, the old release within the window, a 304."""
    personal = place.exchange(place.first, 150.0)
    unchanged = replace(personal, status=304, body=b"", if_none_match=personal.headers["etag"])
    weak = {**personal.headers, "etag": "W/" + personal.headers["etag"]}
    right = (
        personal,
        unchanged,
        replace(personal, headers=weak),
        place.exchange(place.first, 151.0, user=_UNKNOWN, reason="unknown_user", items=_POPULAR),
        place.batch(152.0),
        place.exchange(place.first, 229.0),
        _second(place, 305.0, reason=STORE_UNAVAILABLE),
    )
    assert place.kinds(*right) == []
    assert place.checker.checked == len(right)
    assert place.checker.stalest_s == pytest.approx(229.0 - 200.5)


def _second(place: Place, at: float, reason: str | None = None) -> Exchange:
    """Return a right answer of the second release, whose lists are ten books further on."""
    items = '{"book_id":12,"score":1},{"book_id":13,"score":0.5}'
    popular = '{"book_id":11,"score":1},{"book_id":12,"score":0.5}'
    return place.exchange(place.second, at, reason=reason, items=popular if reason else items)


def _with_header(exchange: Exchange, name: str, value: str) -> Exchange:
    return replace(exchange, headers={**exchange.headers, name: value})


_PLANTED: dict[str, tuple[str, Callable[[Place], Exchange]]] = {
    "one digit of one score": (
        checker.WRONG,
        lambda p: replace(
            e := p.exchange(p.first, 150.0), body=e.body.replace(b'"score":0.5', b'"score":0.6')
        ),
    ),
    "a blank that says the same": (
        checker.WRONG,
        lambda p: replace(e := p.exchange(p.first, 150.0), body=e.body.replace(b",", b", ", 1)),
    ),
    "half of a body": (
        checker.WRONG,
        lambda p: replace(e := p.exchange(p.first, 150.0), body=e.body[:40]),
    ),
    "another user's list": (
        checker.WRONG,
        lambda p: replace(p.exchange(p.first, 150.0), users=(2,)),
    ),
    "the other release's list under this release's name": (
        checker.WRONG,
        lambda p: p.exchange(p.second, 250.0),
    ),
    "another release in the header than in the body": (
        checker.MIXED,
        lambda p: _with_header(p.exchange(p.first, 150.0), "x-release", p.second),
    ),
    "a batch from two releases": (checker.MIXED, lambda p: p.batch(210.0, second=p.second)),
    "a release that was never live": (
        checker.NOT_SERVED,
        lambda p: p.exchange(
            p.never, 250.0, items='{"book_id":22,"score":1},{"book_id":23,"score":0.5}'
        ),
    ),
    "a release that nobody wrote": (
        checker.NOT_SERVED,
        lambda p: p.exchange("2026-01-09-00000000", 250.0),
    ),
    "a release before it was live": (checker.NOT_SERVED, lambda p: _second(p, 199.0)),
    "a release 31 s after it was live": (checker.STALE, lambda p: p.exchange(p.first, 231.6)),
    "a fallback while nothing was broken": (
        checker.UNTRUE,
        lambda p: _second(p, 311.0, reason=STORE_UNAVAILABLE),
    ),
    "unknown_user for a known user": (
        checker.UNTRUE,
        lambda p: p.exchange(p.first, 150.0, reason="unknown_user", items=_POPULAR),
    ),
    "no_release while there is one": (
        checker.UNTRUE,
        lambda p: _with_header(
            p.exchange(p.first, 150.0, reason="no_release", items=_POPULAR),
            "cache-control",
            "no-store",
        ),
    ),
    "a fallback that may be cached": (
        checker.HEADERS,
        lambda p: _with_header(
            _second(p, 305.0, reason=STORE_UNAVAILABLE), "cache-control", "public, max-age=5"
        ),
    ),
    "a tag of another user": (
        checker.HEADERS,
        lambda p: _with_header(p.exchange(p.first, 150.0), "etag", f'"{p.first}.als.u2.2"'),
    ),
    "a 304 for what the client does not hold": (
        checker.HEADERS,
        lambda p: replace(
            p.exchange(p.first, 150.0), status=304, body=b"", if_none_match='"other"'
        ),
    ),
    "a 304 for a fallback": (
        checker.UNTRUE,
        lambda p: _unchanged(_second(p, 305.0, reason=STORE_UNAVAILABLE)),
    ),
    "a 304 for a release long gone": (
        checker.STALE,
        lambda p: _unchanged(p.exchange(p.first, 260.0)),
    ),
    "an answer after the deadline": (
        checker.LATE,
        lambda p: replace(p.exchange(p.first, 150.0), done_at=151.1),
    ),
    "a 502": (
        checker.NO_ANSWER,
        lambda p: replace(p.exchange(p.first, 150.0), status=502, body=b""),
    ),
    "no answer at all": (
        checker.NO_ANSWER,
        lambda p: replace(p.exchange(p.first, 150.0), status=0, headers={}, body=b"", text="reset"),
    ),
}


def _unchanged(exchange: Exchange) -> Exchange:
    return replace(exchange, status=304, body=b"", if_none_match=exchange.headers["etag"])


@pytest.mark.parametrize("name", _PLANTED)
def test_each_planted_error_is_found(place: Place, name: str) -> None:
    """One error in one answer gives one violation of its kind."""
    kind, plant = _PLANTED[name]
    assert place.kinds(plant(place)) == [kind]


def test_a_client_is_not_taken_back(place: Place) -> None:
    """An older release passes within 30 s of the first sight of a newer one, and after a rollback to it."""
    place.timeline.live[0].until = 400.0
    seen = _second(place, 210.0)
    assert place.kinds(seen, place.exchange(place.first, 235.0)) == []
    assert place.kinds(place.exchange(place.first, 245.0)) == [checker.BACK]
    other = replace(place.exchange(place.first, 245.0), client=2)
    assert place.kinds(other) == []
    place.timeline.goes_live(place.first, 400.0, 400.5)
    assert place.kinds(place.exchange(place.first, 460.0)) == []
    assert place.kinds(_second(place, 429.0), _second(place, 431.0)) == [checker.STALE]


def test_a_list_in_memory_is_as_old_as_the_fault(place: Place) -> None:
    """A fallback may come from the release that was live when the fault began, a personal list may not."""
    place.timeline.breaks(STORE_UNAVAILABLE, 201.0).until = 290.0
    old = place.exchange(place.first, 280.0, reason=STORE_UNAVAILABLE, items=_POPULAR)
    assert place.kinds(old) == []
    assert place.kinds(place.exchange(place.first, 280.0)) == [checker.STALE]


def test_canaries_are_for_single_look_ups(place: Place) -> None:
    """A canary's list passes while it runs and 30 s longer, in a batch never."""
    place.timeline.canary_starts(place.never, 250.0)
    place.timeline.canary_stops(260.0)
    items = '{"book_id":22,"score":1},{"book_id":23,"score":0.5}'
    assert place.kinds(place.exchange(place.never, 255.0, items=items)) == []
    assert place.kinds(place.exchange(place.never, 289.0, items=items)) == []
    assert place.kinds(place.exchange(place.never, 291.0, items=items)) == [checker.STALE]
    one = place.exchange(place.never, 255.0, items=items)
    batch = replace(
        one,
        batch=True,
        headers={**one.headers, "etag": f'"{place.never}.als.b1.2"'},
        body=b'{"release":"%s","results":[%s]}' % (place.never.encode(), one.body),
    )
    assert place.kinds(batch) == [checker.NOT_SERVED]
