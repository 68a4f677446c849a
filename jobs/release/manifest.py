"""The manifest: what a release is made of.

In: the records of a release's finished steps. Out: `manifest.json`. Guarantees that it is written once, and that the
digest in it is that of the very files the lists in Redis are made from.
"""

import hashlib
import json
from typing import Any

from jobs.release import checksum, inputs
from jobs.runtime.artifacts import ReleaseFolder, require
from jobs.runtime.documents import broken, read_document
from jobs.runtime.errors import BrokenInput
from jobs.runtime.files import sha256, write_json
from jobs.runtime.record import read_record

_STEPS = ("extract", "train", "evaluate", "recommend")
_OF_INPUTS = (
    *("release", "partition", "inputs", "settings", "row_settings"),
    *("software", "lists_version", "time_ordered"),
)


def digests(folder: ReleaseFolder) -> dict[str, str]:
    """Return the SHA-256 of each file the lists in Redis are made from. Raises BrokenInput when one is missing."""
    files = (folder.lists, folder.popularity, folder.similar, folder.books)
    return {path.name: sha256(require(path, "recommend")) for path in files}


def digest(by_file: dict[str, str]) -> str:
    """Return one SHA-256 over the digests of the files: the same lists, the same digest."""
    text = json.dumps(by_file, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write(folder: ReleaseFolder, run_by: str) -> dict[str, Any]:
    """Write the manifest of a finished release, or return the one that stands.

    Raises BrokenInput when a step has not finished, or when files changed after the manifest was written.
    """
    if folder.manifest.is_file():
        return check(folder)
    by_file = digests(folder)
    records = {step: _record(folder, step) for step in _STEPS}
    begun = inputs.read(folder)
    content = {
        **{name: begun[name] for name in _OF_INPUTS},
        "data_as_of": _moment(folder, records, "extract", "data_as_of"),
        "trained_at": _moment(folder, records, "train", "trained_at"),
        "counts": records,
        "metrics": read_document(folder.evaluation, "evaluate", metrics=dict),
        "files": by_file,
        "digest": digest(by_file),
        "run_by": run_by,
    }
    write_json(folder.manifest, checksum.with_checksum(content))
    return content


def read(folder: ReleaseFolder) -> dict[str, Any]:
    """Return the manifest. Raises BrokenInput when there is none or it was altered."""
    content = checksum.opened(require(folder.manifest, "publish").read_bytes())
    if content is None or content["release"] != folder.release:
        raise BrokenInput(
            "the manifest was altered or is that of another release",
            str(folder.manifest),
            "bring it back from a backup",
        )
    return content


def check(folder: ReleaseFolder) -> dict[str, Any]:
    """Return the manifest after comparing it with the files. Raises BrokenInput when a file has changed."""
    content = read(folder)
    by_file = digests(folder)
    if content["files"] != by_file:
        raise changed(
            folder, sorted(name for name in by_file if by_file[name] != content["files"].get(name))
        )
    return content


def changed(folder: ReleaseFolder, names: list[str]) -> BrokenInput:
    """Return the error about files that are not those of the manifest."""
    return BrokenInput(
        f"{', '.join(names)} changed after the manifest was written",
        str(folder.root),
        "bring the file back from a backup, or remove the folder and run the day again",
    )


def _moment(folder: ReleaseFolder, records: dict[str, Any], step: str, name: str) -> str:
    found = records[step].get(name)
    if not isinstance(found, str):
        raise broken(folder.records / f"{step}.json", step, f"it has no {name}")
    return found


def _record(folder: ReleaseFolder, step: str) -> dict[str, Any]:
    record = read_record(folder.records, step)
    if record is None:
        raise BrokenInput(
            f"{step} has not finished", str(folder.records), f"run `nightshelf {step}` first"
        )
    return record
