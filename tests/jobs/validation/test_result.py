"""The kept result of a validation, and when it counts."""

from pathlib import Path

import pytest

from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import BrokenInput, GateRefused
from jobs.validation import result
from jobs.validation.result import ExpectationResult, Result, Status

RELEASE = "2026-03-01-0123abcd"


@pytest.fixture
def folder(tmp_path: Path) -> ReleaseFolder:
    """A release that holds one file."""
    folder = ReleaseFolder(tmp_path / RELEASE)
    folder.root.mkdir()
    folder.books.write_bytes(b"books")
    return folder


def kept(folder: ReleaseFolder, status: Status = "passed") -> Result:
    """Keep a result about the books of `folder` and return it."""
    outcome = ExpectationResult("titles", "every title has text", "0 without", status, ("17",))
    made = Result(
        folder.release,
        "books",
        None,
        status,
        (outcome,),
        result.digests(folder, "books"),
        {},
        {},
    )
    result.write(folder, made, {"success": True})
    return made


def test_a_result_is_read_back_whole(folder: ReleaseFolder) -> None:
    """Reading gives what was written, examples and digests included."""
    made = kept(folder)
    assert result.read(folder, "books") == made
    # printf books | sha256sum
    assert made.judged == {
        "books.parquet": "6e317bcd6839e8877395411b47b2b89d2bae7ccb05f78cee32bcdf76b5294265"
    }


@pytest.mark.parametrize("status", ["passed", "failed", "crashed"])
def test_status_is_that_of_the_result(folder: ReleaseFolder, status: Status) -> None:
    """A current result gives its own status."""
    kept(folder, status)
    assert result.status(folder, "books") == status


def test_no_result_is_no_status(folder: ReleaseFolder) -> None:
    """A table that was never validated has no status."""
    assert result.status(folder, "books") is None


def test_a_stale_result_is_no_result(folder: ReleaseFolder) -> None:
    """A result about other bytes than those that lie there now does not count."""
    kept(folder)
    folder.books.write_bytes(b"other books")
    assert result.status(folder, "books") is None


def test_a_result_of_another_release_does_not_count(folder: ReleaseFolder, tmp_path: Path) -> None:
    """A result copied in from another release does not count, even when the files are the same."""
    other = ReleaseFolder(tmp_path / "2026-03-02-0123abcd")
    other.root.mkdir()
    other.books.write_bytes(b"books")
    kept(other)
    folder.validation("books").parent.mkdir()
    other.validation("books").rename(folder.validation("books"))
    assert result.status(folder, "books") is None


def test_unreadable_results_are_told(folder: ReleaseFolder) -> None:
    """Half a result is broken input, neither good nor bad data."""
    kept(folder)
    path = folder.validation("books")
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    with pytest.raises(BrokenInput, match="cannot be read"):
        result.status(folder, "books")


def test_only_passed_tables_get_through_the_gate(folder: ReleaseFolder) -> None:
    """The gate names what was never judged, what failed and what changed since."""
    with pytest.raises(GateRefused, match="books: not validated"):
        result.require_passed(folder, ("books",))
    kept(folder, "crashed")
    with pytest.raises(GateRefused, match="books: validation crashed"):
        result.require_passed(folder, ("books",))
    kept(folder)
    result.require_passed(folder, ("books",))
    folder.books.write_bytes(b"other")
    with pytest.raises(GateRefused, match="books: changed since it was validated"):
        result.require_passed(folder, ("books",))
