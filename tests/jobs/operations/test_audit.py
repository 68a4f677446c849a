"""Audit: which users' stored values differ from the release's files."""

import pytest

from jobs.operations import audit
from jobs.pipeline import publish
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import BrokenInput, WrongUsage
from jobs.runtime.settings import Settings
from tests.harness import store
from tests.harness.releases import write_release


def test_it_says_which_users_books_and_tags_differ(
    artifacts: Artifacts, settings: Settings
) -> None:
    """One value of each kind changed by hand, one lost, one too many, the description gone."""
    live = store.go_live(artifacts, settings, "2026-01-01")
    prefix = f"shelf:{live}"
    with store.connected(settings) as cluster:
        cluster.hset(f"{prefix}:users:0", mapping={"7": "wrong", "999": "too many"})
        cluster.hdel(f"{prefix}:users:0", "8")
        cluster.hset(f"{prefix}:books:0", "5", "{}")
        cluster.hset(f"{prefix}:similar:0", "6", "wrong")
        cluster.hset(f"{prefix}:popular", "fantasy", "wrong")
        cluster.delete(f"{prefix}:meta")
    found = audit.run(artifacts, settings, sample=None)
    assert found.release == live
    assert (found.users, found.books, found.tags) == ([7, 8, 999], [5, 6], ["fantasy"])
    assert (found.differing, found.description) == (7, True)
    assert found.values == 30 + 40 + 3 + 40


def test_a_sample_is_a_part_that_the_seed_chooses(artifacts: Artifacts, settings: Settings) -> None:
    """As many hashes as asked for; over all seeds every hash has its turn."""
    folder = write_release(artifacts.root, "2026-01-01", users=200)
    publish.run(folder, settings)
    with store.connected(settings) as cluster:
        cluster.hset(f"shelf:{folder.release}:users:2", "6", "wrong")
    found = [
        audit.run(artifacts, settings, release=folder.release, sample=3, seed=seed)
        for seed in range(12)
    ]
    assert {outcome.hashes for outcome in found} == {3}
    assert {tuple(outcome.users) for outcome in found} == {(), (6,)}


def test_a_loaded_release_can_be_audited_before_it_is_live(
    artifacts: Artifacts, settings: Settings
) -> None:
    """By its id; without one there must be a live release."""
    folder = write_release(artifacts.root, "2026-01-01")
    publish.run(folder, settings)
    assert audit.run(artifacts, settings, release=folder.release, sample=None).differing == 0
    with pytest.raises(WrongUsage, match="no release is live"):
        audit.run(artifacts, settings, sample=None)


def test_files_that_changed_are_no_measure(artifacts: Artifacts, settings: Settings) -> None:
    """What is compared with must be what the manifest says."""
    live = store.go_live(artifacts, settings, "2026-01-01")
    artifacts.release(live).lists.write_bytes(b"other")
    with pytest.raises(BrokenInput, match=r"lists\.parquet changed"):
        audit.run(artifacts, settings, sample=None)
