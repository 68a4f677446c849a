"""Audit: is what Redis serves what the release's files say?

In: a loaded release and its folder. Out: the users, books and tags whose stored value differs. Guarantees that the
files were compared with the manifest first, and that every byte of what is looked at is compared. Changes nothing.
"""

import random
from dataclasses import dataclass, replace

from jobs.release import manifest
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import WrongUsage
from jobs.runtime.settings import Settings
from jobs.store import encoding, loading, soundness
from jobs.store.cluster import connected
from jobs.store.loading import Difference
from jobs.store.registry import Registry
from schemas import keys


@dataclass(frozen=True)
class AuditResult:
    """What was compared and what differs: users and books (cards or similar books) by id, popularity lists by tag.

    `differing` counts all values that are missing, changed or too many; `description` says that the release's own
    description differs.
    """

    release: str
    hashes: int
    values: int
    differing: int
    users: list[int]
    books: list[int]
    tags: list[str]
    description: bool


def run(
    artifacts: Artifacts,
    settings: Settings,
    *,
    release: str | None = None,
    sample: int | None,
    seed: int = 0,
) -> AuditResult:
    """Compare a sample of the hashes (all of them for None) with the files; without `release` those of the live one.

    Raises WrongUsage when no release is live; BrokenInput when a file has changed since the manifest was written;
    TryLater when Redis cannot be reached.
    """
    with connected(settings) as cluster:
        if release is None:
            pointer = Registry(cluster, settings.namespace).read().pointer
            if pointer is None:
                raise WrongUsage("no release is live", "the release registry", "give --release")
            release = pointer.live
        folder = artifacts.release(release)
        what = encoding.stored(folder, settings.namespace, manifest.read(folder))
        if sample is not None:
            chosen = random.Random(seed).sample(sorted(what.hashes), min(sample, len(what.hashes)))
            what = replace(what, hashes={key: what.hashes[key] for key in chosen})
        at_once = soundness.hashes_at_once(soundness.nodes(cluster))
        wrong = loading.differences(cluster, what, keep_going=lambda: None, at_once=at_once)
    return _outcome(settings.namespace, release, what, wrong)


def _outcome(
    namespace: str, release: str, what: encoding.Stored, wrong: list[Difference]
) -> AuditResult:
    books = _named(wrong, keys.books_prefix(namespace, release)) + _named(
        wrong, keys.similar_prefix(namespace, release)
    )
    return AuditResult(
        release=release,
        hashes=len(what.hashes),
        values=sum(map(len, what.hashes.values())),
        differing=sum(len(difference.fields) for difference in wrong),
        users=_numbers(_named(wrong, keys.users_prefix(namespace, release))),
        books=_numbers(books),
        tags=sorted(_named(wrong, keys.popular(namespace, release))),
        description=any(difference.key == what.meta_key for difference in wrong),
    )


def _named(wrong: list[Difference], prefix: str) -> list[str]:
    return [
        f for difference in wrong if difference.key.startswith(prefix) for f in difference.fields
    ]


def _numbers(fields: list[str]) -> list[int]:
    # A field that is no number is no user's: it counts among the differing values only.
    return sorted({int(field) for field in fields if field.isdecimal()})
