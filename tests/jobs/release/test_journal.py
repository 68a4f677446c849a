"""The journal on disk: order, durability, and that altered entries are found."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from jobs.release import journal, journal_identity
from jobs.runtime.errors import BrokenInput, TryLater


def _append_many(folder: Path, who: str, count: int) -> None:
    for number in range(count):
        journal.append(folder, journal.REFUSAL, who=who, why=str(number), to=None)


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    """Numbers count from 1 without gaps; each entry has a time in UTC and what was given."""
    for why in ("a", "b"):
        journal.append(tmp_path / "journal", journal.REFUSAL, who="ada", why=why, to="r")
    found = journal.read(tmp_path / "journal")
    assert [(e["seq"], e["action"], e["who"], e["why"], e["to"]) for e in found] == [
        (1, "refusal", "ada", "a", "r"),
        (2, "refusal", "ada", "b", "r"),
    ]
    assert found[0]["at"].endswith("+00:00")
    names = sorted(path.name for path in (tmp_path / "journal").iterdir())
    assert names == ["0000000001.json", "0000000002.json"]


def test_an_empty_journal_has_no_entries(tmp_path: Path) -> None:
    """A folder that is not there yet reads as no entries."""
    assert journal.read(tmp_path / "journal") == []


def test_two_processes_never_share_a_number(tmp_path: Path) -> None:
    """Four writers of fifty entries each: two hundred entries, each writer's own in its order."""
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_append_many, args=(tmp_path, str(writer), 50))
        for writer in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = journal.read(tmp_path)
    assert [e["seq"] for e in found] == list(range(1, 201))
    for who in "0123":
        assert [int(e["why"]) for e in found if e["who"] == who] == list(range(50))


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    """Every single bit of an entry is covered: flipped, reading names the file."""
    journal.append(tmp_path, journal.ACTIVATE, who="ada", why="go", to="r", generation=1)
    path = tmp_path / "0000000001.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 1
        path.write_bytes(broken)
        with pytest.raises(BrokenInput, match="altered"):
            journal.read(tmp_path)


def test_an_entry_under_another_number_is_found(tmp_path: Path) -> None:
    """A copied file does not pass for another entry."""
    journal.append(tmp_path, journal.REFUSAL, who="ada", why="a", to=None)
    (tmp_path / "0000000002.json").write_bytes((tmp_path / "0000000001.json").read_bytes())
    with pytest.raises(BrokenInput, match="altered"):
        journal.read(tmp_path)


def test_a_missing_entry_is_found(tmp_path: Path) -> None:
    """A gap is named: without that entry nobody knows what is barred."""
    _append_many(tmp_path, "ada", 3)
    (tmp_path / "0000000002.json").unlink()
    with pytest.raises(BrokenInput, match="missing: 2"):
        journal.read(tmp_path)


def test_what_a_crash_left_is_not_read(tmp_path: Path) -> None:
    """A temporary file of a writer that died is no entry."""
    _append_many(tmp_path, "ada", 1)
    (tmp_path / ".0123456789abcdef.tmp").write_text("{")
    assert len(journal.read(tmp_path)) == 1


def test_a_full_disk_is_told_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space for an entry: TryLater, no entry and nothing left behind."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TryLater, match="disk is full"):
        _append_many(tmp_path, "ada", 1)
    assert list(tmp_path.iterdir()) == []


def test_entries_are_plain_json(tmp_path: Path) -> None:
    """A person can read an entry without this program."""
    journal.append(tmp_path, journal.QUARANTINE, who="ada", why="odd", release="r", quarantined="d")
    content = json.loads((tmp_path / "0000000001.json").read_text())
    assert (content["who"], content["quarantined"], content["seq"]) == ("ada", "d", 1)


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(5, "I/O error")]
)
def test_an_unreadable_journal_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """A folder that cannot be listed is refused, for reading and for writing; so is a file in its place."""
    _append_many(tmp_path / "journal", "ada", 1)

    def unreadable(_folder: Path) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", unreadable)
        with pytest.raises(BrokenInput, match=f"cannot be read: {error.strerror}"):
            journal.read(tmp_path / "journal")
        with pytest.raises(BrokenInput, match="cannot be read"):
            _append_many(tmp_path / "journal", "ada", 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokenInput, match="cannot be read: Not a directory"):
        journal.read(tmp_path / "file")


def test_a_journal_has_one_id_for_ever(tmp_path: Path) -> None:
    """It is made once, whoever asks, and an altered file is found."""
    assert journal_identity.read(tmp_path) is None
    made = journal_identity.make(tmp_path)
    assert journal_identity.make(tmp_path, "other") == journal_identity.read(tmp_path) == made
    assert journal.read(tmp_path) == []
    file = journal_identity.path(tmp_path)
    file.write_text(file.read_text().replace(made, "f" * 32))
    with pytest.raises(BrokenInput, match="was altered"):
        journal_identity.read(tmp_path)
