"""What the operating system refuses ends in what, where and what to do, with the exit code of its kind."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.runtime import system
from jobs.runtime.artifacts import ReleaseFolder
from tests.harness.command_line import run
from tests.harness.landing import NIGHTSHELF
from tests.harness.releases import write_release

#: Root passes every permission by these two capabilities.
_BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@pytest.mark.parametrize(
    ("number", "exit_code", "do"),
    [
        (errno.EACCES, 1, "right to read"),
        (errno.EROFS, 1, "mount the file system for writing"),
        (errno.ENOSPC, 1, "free space"),
        (errno.ENODEV, 1, "check the disk"),
        (errno.EMFILE, 1, "ulimit"),
        (errno.EIDRM, 1, "run the command again"),
        (errno.EISDIR, 4, "a folder stands where a file belongs"),
        (errno.ENOTDIR, 4, "a file stands where a folder belongs"),
        (errno.ENAMETOOLONG, 4, "shorter path"),
        (errno.ELOOP, 4, "symbolic links"),
    ],
)
def test_each_refusal_has_its_way_out(number: int, exit_code: int, do: str) -> None:
    """The system's own words and the path are in the message."""
    as_problem = system.as_problem(OSError(number, os.strerror(number), "/some/path"))
    assert (as_problem.exit_code, as_problem.where) == (exit_code, "/some/path")
    assert os.strerror(number) in as_problem.what
    assert do in as_problem.do


def _read_only(release: ReleaseFolder) -> None:
    (release.records / "train.json").unlink()  # else there is nothing to write
    release.root.chmod(0o555)


@pytest.fixture
def release() -> Iterator[ReleaseFolder]:
    """A release whose permissions a test may change."""
    with tempfile.TemporaryDirectory(prefix="nightshelf-system-") as name:
        root = Path(name)
        folder = write_release(root, "2026-01-01")
        yield folder
        for path in (root, folder.root.parent, folder.root, folder.inputs, folder.decision):
            path.chmod(0o755)


@pytest.mark.parametrize(
    ("close", "command"),
    [
        (lambda one: one.inputs.chmod(0), "train"),
        (lambda one: one.root.chmod(0), "recommend"),
        (lambda one: one.root.parent.chmod(0), "publish"),
        (lambda one: one.root.parent.parent.chmod(0), "backtest"),
        (lambda one: one.decision.chmod(0), "publish"),
        (_read_only, "train"),
    ],
    ids=["a file", "a release", "all releases", "the artifacts", "a decision", "nothing to write"],
)
def test_a_folder_that_may_not_be_used(
    release: ReleaseFolder, close: Callable[[ReleaseFolder], None], command: str
) -> None:
    """Exit code 1 with the path and which right is missing."""
    close(release)
    ended = subprocess.run(
        [*_BOUND, *NIGHTSHELF, command, "--release", release.release],
        env={**os.environ, "NIGHTSHELF_ARTIFACTS": str(release.root.parent.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "Permission denied" in ended.stderr
    assert str(release.root.parent.parent) in ended.stderr
    assert "give the user who runs this command the right" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("what", ["a file", "a long name", "a loop"])
@pytest.mark.parametrize("command", ["extract --partition 2026-01-01", "releases --history"])
def test_an_artifacts_folder_that_is_none(
    what: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No traceback whatever stands at the path: refused, or as empty as it is."""
    place = tmp_path / ("x" * 300 if what == "a long name" else "place")
    if what == "a file":
        place.write_text("")
    if what == "a loop":
        place.symlink_to(place)
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(place))
    ended = run(capsys, *command.split())
    assert ended.exit_code in ({4} if command.startswith("extract") else {0, 4})
