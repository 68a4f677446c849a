"""Drop: whether a day's drop is there and complete, and what extract makes of one that is not."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.harness.command_line import run
from tests.harness.landing import HEADER, LAST_DAY, ROWS, drop, extract, folder, replay

_NEXT_DAY = "2026-01-05"


@pytest.fixture(autouse=True)
def artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """An artifacts folder with four days of drops, the last of them today's of this test."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path / "artifacts"))
    assert replay(capsys, folder(tmp_path, HEADER + ROWS)).exit_code == 0
    return tmp_path / "artifacts"


def test_a_complete_drop_says_since_when(
    artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0 and the moment the last file came to its place, whatever time of change it carries."""
    os.utime(drop(artifacts), (0, 0))
    found = run(capsys, "drop", "--partition", LAST_DAY)
    assert (found.exit_code, found.outcome["partition"]) == (0, LAST_DAY)
    age = datetime.now(UTC) - datetime.fromisoformat(found.outcome["landed_at"])
    assert timedelta(seconds=-1) < age < timedelta(minutes=10)


def test_an_absent_drop_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 99 of both commands, with what, where and what to do."""
    found = run(capsys, "drop", "--partition", _NEXT_DAY)
    assert (found.exit_code, found.outcome["error"]) == (99, f"no drop has arrived for {_NEXT_DAY}")
    assert found.outcome["where"].endswith(f"ds={_NEXT_DAY}")
    assert extract(capsys, _NEXT_DAY).exit_code == 99


def test_a_drop_in_progress_is_not_there_yet(
    artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 99 while a file is being written; extract refuses the day by the file's name."""
    (drop(artifacts).parent / "part-1.parquet.tmp").write_bytes(b"PAR1")
    assert run(capsys, "drop", "--partition", LAST_DAY).exit_code == 99
    refused = extract(capsys)
    assert (refused.exit_code, "part-1.parquet.tmp" in refused.outcome["error"]) == (4, True)


def test_a_drop_is_complete_with_its_marker(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a marker is named, files without it are not complete; earlier days need none."""
    monkeypatch.setenv("NIGHTSHELF_DROP_MARKER", "done.flag")
    missing = run(capsys, "drop", "--partition", LAST_DAY)
    assert (missing.exit_code, "done.flag" in missing.outcome["do"]) == (99, True)
    refused = extract(capsys)
    assert (refused.exit_code, "done.flag" in refused.outcome["error"]) == (4, True)
    (drop(artifacts).parent / "done.flag").touch()
    assert run(capsys, "drop", "--partition", LAST_DAY).exit_code == 0
    assert extract(capsys).exit_code == 0


@pytest.mark.parametrize("marker", ["a/b", "..", "/"])
def test_a_marker_is_a_file_s_name(
    marker: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything else is wrong usage, by the variable's name."""
    monkeypatch.setenv("NIGHTSHELF_DROP_MARKER", marker)
    found = run(capsys, "drop", "--partition", LAST_DAY)
    assert (found.exit_code, "NIGHTSHELF_DROP_MARKER" in found.outcome["error"]) == (2, True)
