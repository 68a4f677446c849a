"""Cutting a version: `make release`."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy import release
from deploy.release import CHANGELOG, PLACES, ROOT, ReleaseProblem

_CHANGES = """# Changelog

## Unreleased

- New lists.

## 0.1.0

- First.
"""


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=ada", "-c", "user.email=ada@books.test", *arguments]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with every file that names the version, at 0.1.0."""
    for name in PLACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    release.write(tmp_path, "0.1.0")
    (tmp_path / CHANGELOG).write_text(_CHANGES, "utf-8")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@books.test")
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "add", "--all")
    _git(tmp_path, "commit", "--quiet", "--message", "begin")
    return tmp_path


def test_every_place_names_the_same_version() -> None:
    """Images, manifests and the package: one number, and each place has one."""
    found = release.versions(ROOT)
    assert all(len(named) == 1 for named in found.values()), found
    assert len(set.union(*found.values())) == 1, found


def test_a_version_is_cut(checkout: Path) -> None:
    """Every place has the number, the changelog a dated section, and a tag names the commit."""
    release.run(checkout, "0.2.0", "2026-12-01")
    assert set.union(*release.versions(checkout).values()) == {"0.2.0"}
    changes = (checkout / CHANGELOG).read_text("utf-8")
    assert (
        "## Unreleased\n\nNothing yet.\n\n## 0.2.0 - 2026-12-01\n\n- New lists.\n\n## 0.1.0\n"
        in changes
    )
    assert _git(checkout, "status", "--porcelain") == ""
    assert _git(checkout, "rev-parse", "v0.2.0^{commit}") == _git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("version", ["0.1.0", "0.0.9", "1.0", "v0.2.0", ""])
def test_a_version_that_is_not_above(checkout: Path, version: str) -> None:
    """It is refused, and nothing is written."""
    with pytest.raises(ReleaseProblem, match=r"above 0\.1\.0"):
        release.run(checkout, version, "2026-12-01")
    assert _git(checkout, "status", "--porcelain") == ""


def test_what_has_to_be_done_first(checkout: Path) -> None:
    """Changes that are not committed, or no entry for users, end it before anything is written."""
    (checkout / CHANGELOG).write_text(_CHANGES.replace("- New lists.", "Nothing yet."), "utf-8")
    with pytest.raises(ReleaseProblem, match="commit them"):
        release.run(checkout, "0.2.0", "2026-12-01")
    _git(checkout, "commit", "--quiet", "--all", "--message", "x")
    with pytest.raises(ReleaseProblem, match="no entry"):
        release.run(checkout, "0.2.0", "2026-12-01")
    assert set.union(*release.versions(checkout).values()) == {"0.1.0"}
