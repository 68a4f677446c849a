"""Figures of a campaign, worked out by hand from a few planted exchanges."""

from pathlib import Path

import pytest

from tests.faults import figures
from tests.faults.checker import Checker
from tests.faults.exchange import Exchange
from tests.faults.figures import BETWEEN, FAILOVER, Row
from tests.faults.oracle import Oracle
from tests.faults.stage import Round
from tests.faults.timeline import STORE_UNAVAILABLE, Timeline
from tests.harness.releases import write_release

_FAULT = "primary killed"


class Place:
    """One release, live from second 0; a primary is killed at 100, all is well at 103, the primary back at 105."""

    def __init__(self, root: Path) -> None:
        """Write the release and note the fault."""
        oracle = Oracle()
        self.release = oracle.learn(write_release(root, "2026-01-01").root).name
        self.timeline = Timeline()
        self.timeline.goes_live(self.release, 0.0, 0.0)
        self.timeline.breaks(STORE_UNAVAILABLE, 100.0).until = 108.0
        self.checker = Checker(oracle, self.timeline, deadline_s=1.0)
        self.rounds = [Round(_FAULT, 100.0, 103.0, 105.0, 106.0, 110.0)]

    def answer(self, due_at: float, took_s: float, *, fallback: bool) -> Exchange:
        """Return a right answer for user 1, personal or a fallback, written out by hand."""
        kind = "popularity.store_unavailable" if fallback else "als"
        source, why, book = (
            ("popularity", '"store_unavailable"', 1) if fallback else ("als", "null", 2)
        )
        body = (
            f'{{"user_id":1,"release":"{self.release}","source":"{source}","reason":{why},'
            f'"items":[{{"book_id":{book},"score":1}}]}}'
        )
        headers = {
            "x-release": self.release,
            "x-source": source,
            "etag": f'"{self.release}.{kind}.u1.1"',
            "cache-control": "no-store" if fallback else "public, max-age=5",
        }
        return _exchange(due_at, took_s, 200, headers, body.encode())

    def rows(self, *exchanges: Exchange) -> dict[str, Row]:
        """Return the rows by fault."""
        found, _ = figures.rows({_FAULT: FAILOVER}, self.rounds, exchanges, self.checker, 0.05)
        return {row.fault: row for row in found}


def _exchange(
    due_at: float, took_s: float, status: int, headers: dict[str, str], body: bytes
) -> Exchange:
    return Exchange(
        client=1,
        users=(1,),
        limit=1,
        batch=False,
        if_none_match="",
        due_at=due_at,
        done_at=due_at + took_s,
        status=status,
        headers=headers,
        body=body,
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """The place of a test."""
    return Place(tmp_path)


def test_times_run_from_the_fault_and_from_when_all_was_well(place: Place) -> None:
    """The last fallback before the mending ends 3.6 s after the kill and was asked for 0.55 s after all was well."""
    row = place.rows(
        place.answer(99.0, 0.01, fallback=False),
        place.answer(101.0, 0.05, fallback=True),
        place.answer(103.55, 0.05, fallback=True),
        place.answer(104.0, 0.01, fallback=False),
    )[_FAULT]
    assert (row.injected, row.requests, row.fallbacks) == (1, 3, 2)
    assert row.again_s == [3.6]
    assert row.after_ok_s == [0.55]
    assert row.correct
    assert row.in_time(2.0)
    assert not row.in_time(1.0)


def test_a_fallback_after_the_mending_counts_from_when_all_was_whole(place: Place) -> None:
    """Asked for 1.5 s after the cluster was whole again."""
    row = place.rows(
        place.answer(101.0, 0.05, fallback=True), place.answer(107.5, 0.02, fallback=True)
    )[_FAULT]
    assert (row.again_s, row.after_ok_s) == ([1.05], [1.5])


@pytest.mark.parametrize(
    ("later", "after_ok_s", "late"),
    [
        # A look-up of 60 ms, and one that waited in its pipeline, after a second of personal lists: not the fault's.
        ([(104.7, 0.06), (104.72, 0.01)], 0.55, 2),
        # An answer that was not late is the fault's, however long after.
        ([(104.7, 0.01)], 1.7, 0),
        # No second of personal lists before it.
        ([(104.3, 0.06), (104.7, 0.06)], 1.7, 0),
        # The killed node is coming back.
        ([(105.5, 0.06), (106.4, 0.06)], 0.55, 0),
        # It was back a second before.
        ([(107.2, 0.06)], 0.55, 1),
    ],
)
def test_what_a_busy_machine_did_long_after_is_set_apart(
    place: Place, later: list[tuple[float, float]], after_ok_s: float, late: int
) -> None:
    """Late look-ups after a second in which every list was personal are counted, and not as the fault's."""
    row = place.rows(
        place.answer(101.0, 0.05, fallback=True),
        place.answer(103.55, 0.05, fallback=True),
        *(place.answer(due_at, took_s, fallback=True) for due_at, took_s in later),
    )[_FAULT]
    assert (row.after_ok_s, row.late) == ([after_ok_s], late)
    assert row.fallbacks == 2 + len(later)


def test_a_fallback_without_a_fault_is_true_only_if_its_look_up_was_late(place: Place) -> None:
    """After 60 ms of a deadline of 50 it is; beside that one, too; alone after 10 ms it is wrong."""
    row = place.rows(
        place.answer(50.0, 0.06, fallback=True),
        place.answer(50.05, 0.01, fallback=True),
        place.answer(70.0, 0.01, fallback=True),
    )[BETWEEN]
    assert (row.late, row.wrong, row.unanswered) == (2, 1, 0)
    assert not row.correct


def test_what_was_not_answered_in_time_is_counted_apart_from_what_is_wrong(place: Place) -> None:
    """A 502 and an answer after 1.2 s of 1 s."""
    slow = place.answer(101.0, 1.2, fallback=True)
    lost = _exchange(102.0, 0.1, 502, {}, b"")
    row = place.rows(slow, lost)[_FAULT]
    assert (row.wrong, row.unanswered) == (0, 2)
