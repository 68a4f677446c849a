"""The release that a day is compared with, when files of older ones are gone."""

import shutil
from pathlib import Path

import pytest

from jobs.release import journal, references
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from tests.harness.command_line import run
from tests.harness.releases import write_release

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")
NEXT = "2026-01-04"


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ReleaseFolder]:
    """Three releases that went live one after another, by the journal."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    folders = [write_release(tmp_path, day, variant=n) for n, day in enumerate(DAYS)]
    for folder in folders:
        entry = journal.append(
            Artifacts(tmp_path).journal,
            journal.ACTIVATE,
            to=folder.release,
            digest=folder.release,
            generation=1,
            who="me",
            why="x",
        )
        journal.append(
            Artifacts(tmp_path).journal, journal.OUTCOME, of=entry["seq"], result=journal.OK
        )
    return folders


@pytest.mark.parametrize("gone", ["the folder", "its lists"])
def test_the_next_older_release_is_the_reference(
    gone: str, three: list[ReleaseFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the release and the day that is gone; without any left there is none."""
    for number, older in ((2, three[1].release), (1, three[0].release), (0, "none")):
        if gone == "the folder":
            shutil.rmtree(three[number].root)
        else:
            three[number].lists.unlink()
        ended = run(capsys, "releases", "--reference-for", NEXT)
        lost = [folder.release for folder in reversed(three[number:])]
        assert ended.outcome == {"reference": older, "missing": lost}
        for release in lost:
            assert (
                f"note: release {release} of {release[:10]} cannot be the reference" in ended.text
            )


def test_a_reference_that_is_gone_is_refused_by_name(
    tmp_path: Path, three: list[ReleaseFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    """With its day and the way out; what a decision calls passed over is newer than its reference."""
    new = write_release(tmp_path, NEXT, variant=7)
    shutil.rmtree(three[2].root)
    for command in ("evaluate", "validate --table interactions"):
        ended = run(
            capsys, *command.split(), *("--release", new.release, "--reference", three[2].release)
        )
        assert ended.exit_code == 4, ended.text
        assert f"the reference {three[2].release} of 2026-01-03 is gone" in ended.outcome["error"]
        assert "--reference-for" in ended.outcome["do"]
    lost = [three[2].release]
    assert references.passed_over(Artifacts(tmp_path), NEXT, three[1].release) == lost
    shutil.rmtree(three[0].root)
    assert references.passed_over(Artifacts(tmp_path), NEXT, three[1].release) == lost
