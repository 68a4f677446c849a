"""The same LISTS_VERSION, the same rows and lists."""

from pathlib import Path

import pytest

from jobs.release.identity import LISTS_VERSION, libraries
from tests.golden import record
from tests.golden.comparing import differences
from tests.golden.kinds import KINDS, computed

_COMMAND = "python -m tests.golden.record"


@pytest.mark.parametrize("kind", KINDS)
def test_lists_are_those_recorded_under_their_number(kind: str, tmp_path: Path) -> None:
    """Frozen inputs give the recorded rows to the byte, and the recorded lists to 1e-4."""
    recorded = record.read(kind)
    number = recorded.get("lists_version")
    assert number == LISTS_VERSION, (
        f"LISTS_VERSION is {LISTS_VERSION}, recorded is {number}: record anew with `{_COMMAND}`"
    )
    changed = differences(recorded["lists"], computed(kind, tmp_path))
    advice = (
        f"raise LISTS_VERSION in jobs/release/identity.py and record anew with `{_COMMAND}`"
        if recorded["libraries"] == libraries()
        else f"other libraries ({recorded['libraries']}): record anew with `{_COMMAND} --same-number`"
    )
    assert not changed, f"other lists under LISTS_VERSION {number}: {changed[:5]}; {advice}"


def test_what_counts_as_the_same() -> None:
    """Near ties may change places and scores may differ by rounding; nothing else may."""
    recorded = {"rows": {"books": "ab"}, "users": {"1": "als 4:0.9 5:0.5 6:0.49995 7:0.1"}}

    def changed(text: str, rows: str = "ab") -> list[str]:
        return differences(recorded, {"rows": {"books": rows}, "users": {"1": text}})

    assert changed("als 4:0.9 6:0.5 5:0.49995 7:0.10005") == []
    assert changed("als 4:0.9 5:0.5 6:0.49995 7:0.1", rows="cd") == [
        "rows 'books': the rows differ"
    ]
    assert "popularity instead of als" in changed("popularity 4:0.9 5:0.5 6:0.49995 7:0.1")[0]
    assert "other books" in changed("als 4:0.9 5:0.5 6:0.49995 8:0.1")[0]
    assert "other books" in changed("als 4:0.9 5:0.5 6:0.49995")[0]
    assert "place 4 book 7 with 0.102" in changed("als 4:0.9 5:0.5 6:0.49995 7:0.102")[0]
    assert "place 1 book 5" in changed("als 5:0.9 4:0.5 6:0.49995 7:0.1")[0]


def test_records_are_small() -> None:
    """All kinds together stay below 100 kB."""
    assert sum(record.path_of(kind).stat().st_size for kind in KINDS) < 100_000
