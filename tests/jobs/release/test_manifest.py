"""The manifest of a release, and that altered files are found by it."""

import hashlib
import json
from pathlib import Path

import pytest

from jobs.release import manifest
from jobs.runtime.errors import BrokenInput
from tests.harness.releases import write_release


def test_a_manifest_says_what_the_release_is_made_of(tmp_path: Path) -> None:
    """Inputs with digests, settings, software, counts of the steps, digests of the lists, who and when."""
    folder = write_release(tmp_path, "2026-01-01", users=30)
    found = manifest.write(folder, "dag/run")
    assert found["release"] == folder.release
    assert found["partition"] == "2026-01-01"
    assert found["run_by"] == "dag/run"
    assert found["data_as_of"] == found["trained_at"] == "2026-01-01T12:00:00+00:00"
    assert found["inputs"][0].keys() == {"path", "rows", "sha256"}
    assert found["settings"]["factors"] > 0
    assert "implicit" in found["software"]
    assert set(found["counts"]) == {"extract", "train", "evaluate", "recommend"}
    expected = hashlib.sha256(folder.lists.read_bytes()).hexdigest()
    assert found["files"]["lists.parquet"] == expected
    assert set(found["files"]) == {
        *("lists.parquet", "popularity.parquet"),
        *("similar.parquet", "books.parquet"),
    }
    assert manifest.read(folder) == found


def test_a_manifest_is_written_once(tmp_path: Path) -> None:
    """The second publisher gets the first one's manifest."""
    folder = write_release(tmp_path, "2026-01-01")
    first = manifest.write(folder, "first")
    assert manifest.write(folder, "second") == first


def test_the_digest_follows_from_the_lists_alone(tmp_path: Path) -> None:
    """The same lists on another day have the same digest, other lists another."""
    days = [write_release(tmp_path, f"2026-01-0{day}") for day in (1, 2)]
    other = write_release(tmp_path, "2026-01-03", variant=1)
    digests = [manifest.write(folder, "x")["digest"] for folder in (*days, other)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("name", ["lists", "popularity", "similar", "books"])
def test_a_flipped_byte_in_a_file_is_found(tmp_path: Path, name: str) -> None:
    """Each file that Redis is made from is compared, and the message names it."""
    folder = write_release(tmp_path, "2026-01-01")
    manifest.write(folder, "x")
    path = folder.root / f"{name}.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for check in (manifest.check, lambda release: manifest.write(release, "x")):
        with pytest.raises(BrokenInput, match=rf"{name}\.parquet changed"):
            check(folder)


def test_an_altered_manifest_is_found(tmp_path: Path) -> None:
    """A manifest edited by hand, cut off or of another release is refused."""
    folder = write_release(tmp_path, "2026-01-01")
    content = manifest.write(folder, "x")
    whole = folder.manifest.read_text()
    other = write_release(tmp_path, "2026-01-02")
    edited = json.dumps({**json.loads(whole), "data_as_of": "2027-01-01T00:00:00+00:00"})
    for text in (edited, whole[:-20], "", "[]"):
        folder.manifest.write_text(text)
        with pytest.raises(BrokenInput, match="altered"):
            manifest.read(folder)
    other.manifest.write_text(whole)
    with pytest.raises(BrokenInput, match="another release"):
        manifest.read(other)
    folder.manifest.write_text(whole)
    assert manifest.read(folder) == content


@pytest.mark.parametrize("step", ["extract", "train", "evaluate", "recommend"])
def test_a_step_that_has_not_finished_is_named(tmp_path: Path, step: str) -> None:
    """Without the record of a step there is no manifest."""
    folder = write_release(tmp_path, "2026-01-01")
    (folder.records / f"{step}.json").unlink()
    with pytest.raises(BrokenInput, match=f"{step} has not finished"):
        manifest.write(folder, "x")
    assert not folder.manifest.exists()
