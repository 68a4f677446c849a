"""The manifest: what a release is made of.

In: the records of a release's finished steps. Out: `manifest.json`. Guarantees that it is written once, and that the
digest in it is that of the very files the lists in Redis are made from.
"""

import hashlib
import json
from typing import Any

from jobs.release import inputs
from jobs.release.folder import ReleaseFolder, require
from jobs.runtime.errors import BrokenInput
from jobs.runtime.files import sha256, write_json
from jobs.runtime.record import read_record

_STEPS = ("extract", "train", "evaluate", "recommend")


def digests(folder: ReleaseFolder) -> dict[str, str]:
    """Return the SHA-256 of each file the lists in Redis are made from."""
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
    by_file = digests(folder)
    if folder.manifest.is_file():
        standing = read(folder)
        if standing["files"] != by_file:
            raise _changed(folder, standing["files"], by_file)
        return standing
    records = {step: read_record(folder.records, step) for step in _STEPS}
    for step, record in records.items():
        if record is None:
            raise BrokenInput(
                f"{step} has not finished", str(folder.records), f"run `nightshelf {step}` first"
            )
    begun = inputs.read(folder)
    evaluation = json.loads(require(folder.evaluation, "evaluate").read_text("utf-8"))
    content = {
        **{key: begun[key] for key in ("release", "partition", "inputs", "settings", "software")},
        "time_ordered": begun["time_ordered"],
        "data_as_of": records["extract"]["data_as_of"],  # type: ignore[index]  # checked above
        "trained_at": records["train"]["trained_at"],  # type: ignore[index]
        "counts": records,
        "metrics": evaluation,
        "files": by_file,
        "digest": digest(by_file),
        "run_by": run_by,
    }
    write_json(folder.manifest, content)
    return content


def read(folder: ReleaseFolder) -> dict[str, Any]:
    """Return the manifest. Raises BrokenInput when there is none."""
    content: dict[str, Any] = json.loads(require(folder.manifest, "publish").read_text("utf-8"))
    return content


def check(folder: ReleaseFolder) -> dict[str, Any]:
    """Return the manifest after comparing it with the files. Raises BrokenInput when a file has changed."""
    content = read(folder)
    by_file = digests(folder)
    if content["files"] != by_file:
        raise _changed(folder, content["files"], by_file)
    return content


def _changed(folder: ReleaseFolder, was: dict[str, str], now: dict[str, str]) -> BrokenInput:
    names = ", ".join(sorted(name for name in was if was[name] != now.get(name)))
    return BrokenInput(
        f"{names} changed after the manifest was written",
        str(folder.root),
        "bring the file back from a backup, or remove the folder and run the day again",
    )
