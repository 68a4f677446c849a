"""The command line itself: what wrong usage comes to."""

from pathlib import Path

import pytest

from tests.harness.command_line import run


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (["extract"], "Missing option '--partition'."),
        (["extract", "--day", "x"], "No such option"),
        (["borrow"], "No such command 'borrow'."),
    ],
)
def test_wrong_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    what: str,
) -> None:
    """Exit code 2, the usage and what is wrong on standard error, the same in the last line of standard output."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    ended = run(capsys, *given)
    assert ended.exit_code == 2
    assert ended.outcome["error"].startswith(what)
    assert ended.outcome["where"] == "command line"
    assert ended.outcome["do"]
    assert ended.text.startswith("Usage: nightshelf ")
    assert f"Error: {what}" in ended.text
