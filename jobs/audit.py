"""Audit: is what Redis serves what the release's files say?

In: a loaded release and its folder. Out: the users, books and tags whose stored value differs. Guarantees that the
files were compared with the manifest first, and that every byte of what is looked at is compared. Changes nothing.
"""

import random
from dataclasses import dataclass, replace

from jobs.release import manifest
from jobs.release.folder import ReleaseFolder
from jobs.runtime.settings import Settings
from jobs.store import encoding, loading
from jobs.store.cluster import connected


@dataclass(frozen=True)
class Outcome:
    """How many hashes were compared, and (key, field) of every value that differs."""

    release: str
    hashes: int
    differences: list[tuple[str, str]]


def run(folder: ReleaseFolder, settings: Settings, *, sample: int | None, seed: int = 0) -> Outcome:
    """Compare a sample of the hashes (all of them for None) with the files.

    Raises BrokenInput when a file has changed since the manifest was written; TryLater when Redis cannot be reached.
    """
    what = encoding.stored(folder, settings.namespace, manifest.check(folder))
    if sample is not None:
        chosen = random.Random(seed).sample(sorted(what.hashes), min(sample, len(what.hashes)))
        what = replace(what, hashes={key: what.hashes[key] for key in chosen})
    with connected(settings) as cluster:
        wrong = loading.differences(cluster, settings.namespace, what)
    return Outcome(folder.release, len(what.hashes), wrong)
