"""Restore: clusters that lost everything, a shard, or some values."""

from pathlib import Path

import pytest
import redis

from jobs.operations import audit, releases, restore, rollback
from jobs.pipeline import activate, publish, retire
from jobs.release import journal
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import BrokenInput, TryLater
from jobs.runtime.settings import Settings
from tests.harness import store
from tests.harness.releases import write_release


@pytest.fixture
def two(artifacts: Artifacts, settings: Settings) -> tuple[str, str]:
    """A live release and the one before, in this order."""
    previous = store.go_live(artifacts, settings, "2026-01-01")
    return store.go_live(artifacts, settings, "2026-01-02", variant=1), previous


def whole(artifacts: Artifacts, settings: Settings, releases: tuple[str, ...]) -> bool:
    """Say whether every value of these releases is there."""
    return all(
        audit.run(artifacts, settings, release=release, sample=None).differing == 0
        for release in releases
    )


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_nothing_to_restore(artifacts: Artifacts, settings: Settings) -> None:
    """An empty cluster with an empty journal stays empty."""
    outcome = restore.run(artifacts, settings)
    assert (outcome.release, outcome.restored, outcome.generation) == (None, False, 0)
    assert store.all_keys(settings) == set()


def test_a_whole_cluster_is_left_alone(
    artifacts: Artifacts, settings: Settings, two: tuple[str, str]
) -> None:
    """Nothing is loaded, nothing written down, the generation stays."""
    before, entries = store.fields(settings), journal.read(artifacts.journal)
    outcome = restore.run(artifacts, settings)
    assert (outcome.release, outcome.previous) == two
    assert (outcome.restored, outcome.loaded, outcome.mended) == (False, [], 0)
    assert store.fields(settings) == before
    assert journal.read(artifacts.journal) == entries


def test_a_lost_shard_is_filled_again(
    artifacts: Artifacts, settings: Settings, two: tuple[str, str]
) -> None:
    """Each of the three primaries in turn comes back empty, with the catalog or without it."""
    for node in settings.redis:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()
        outcome = restore.run(artifacts, settings)
        assert (outcome.release, outcome.previous) == two
        assert whole(artifacts, settings, two)
    found = releases.run(artifacts, settings)
    # Only the loss of the catalog's own shard moved the pointer.
    assert (found.live, found.generation) == (two[0], 3)


def test_values_changed_by_hand_are_mended_where_they_stand(
    artifacts: Artifacts, settings: Settings, two: tuple[str, str]
) -> None:
    """The hashes concerned are counted; the pointer does not move."""
    with store.connected(settings) as cluster:
        cluster.hset(f"shelf:{two[0]}:users:0", "7", "wrong")
        cluster.delete(f"shelf:{two[1]}:popular")
    outcome = restore.run(artifacts, settings)
    assert (outcome.mended, outcome.restored) == (2, False)
    assert whole(artifacts, settings, two)


def test_the_generation_is_above_all_that_were_tried(
    artifacts: Artifacts, settings: Settings, two: tuple[str, str]
) -> None:
    """Also above that of a change which Redis refused: an edge replica may have seen any of them."""
    journal.append(
        artifacts.journal, journal.ACTIVATE, to=two[1], digest="d", generation=9, expected=8
    )
    journal.append(artifacts.journal, journal.OUTCOME, of=5, result="older")
    store.wipe(settings)
    assert restore.run(artifacts, settings).generation == 10


def test_a_damaged_live_release_is_not_restored(
    artifacts: Artifacts, settings: Settings, two: tuple[str, str]
) -> None:
    """Before anything goes live, for each kind of file; with the file back it works."""
    folder = artifacts.release(two[0])
    store.wipe(settings)
    for path in (folder.lists, folder.popularity, folder.similar, folder.books, folder.manifest):
        whole_file = path.read_bytes()
        _damage(path)
        with pytest.raises(
            BrokenInput, match=f"{path.name.replace('.json', '')}.*(changed|altered)"
        ):
            restore.run(artifacts, settings)
        assert releases.run(artifacts, settings).live is None
        path.write_bytes(whole_file)
    assert restore.run(artifacts, settings).release == two[0]


def test_a_damaged_previous_release_does_not_keep_the_live_one_down(
    artifacts: Artifacts, settings: Settings, two: tuple[str, str]
) -> None:
    """The live release is served again, the error names the other one, and there is nothing to roll back to."""
    store.wipe(settings)
    _damage(artifacts.release(two[1]).lists)
    with pytest.raises(BrokenInput, match=f"{two[0]} is whole, the previous one is not"):
        restore.run(artifacts, settings)
    found = releases.run(artifacts, settings)
    assert (found.live, found.previous, found.loaded) == (two[0], None, {two[0]: "verified"})


def test_missing_files_are_named(
    artifacts: Artifacts, settings: Settings, two: tuple[str, str]
) -> None:
    """Without the live release's folder there is nothing to restore from."""
    store.wipe(settings)
    artifacts.release(two[0]).manifest.unlink()
    with pytest.raises(BrokenInput, match=r"manifest\.json is missing"):
        restore.run(artifacts, settings)


def test_life_goes_on_after_a_restore(
    artifacts: Artifacts, settings: Settings, two: tuple[str, str]
) -> None:
    """The next release is published, activated over the restored one, and the older one retires."""
    store.wipe(settings)
    restore.run(artifacts, settings)
    with pytest.raises(Exception, match="not newer"):
        activate.run(artifacts, two[1], settings)
    third = write_release(artifacts.root, "2026-01-03", variant=2)
    publish.run(third, settings)
    outcome = activate.run(artifacts, third.release, settings)
    assert (outcome.previous, outcome.generation) == (two[0], 4)
    assert retire.run(settings).kept == [two[1], two[0], third.release]


def test_a_dead_activation_of_barred_lists_blocks_nothing(
    artifacts: Artifacts, settings: Settings
) -> None:
    """It began before a rollback and died before Redis refused it; Redis is wiped; the rollback's target comes back."""
    old = store.go_live(artifacts, settings, "2026-01-01")
    new = store.go_live(artifacts, settings, "2026-01-02", variant=1)
    begun = releases.run(artifacts, settings).generation
    activated = next(e for e in journal.read(artifacts.journal) if e.get("to") == new)
    rollback.run(artifacts, settings, to=old, by="ada", reason="odd lists")
    kept = {key: activated[key] for key in ("who", "why", "from", "to", "digest", "partition")}
    journal.append(
        artifacts.journal, journal.ACTIVATE, generation=begun + 2, expected=begun, **kept
    )
    store.wipe(settings)
    outcome = restore.run(artifacts, settings)
    assert (outcome.release, outcome.restored) == (old, True)
    assert activated["digest"] in releases.run(artifacts, settings).quarantined
    assert not releases.run(artifacts, settings).behind_journal


def test_a_rollback_refused_after_redis_was_wiped_bars_nothing(
    artifacts: Artifacts, settings: Settings
) -> None:
    """It was held up while Redis was wiped and another command came by; the lists it did not leave come back live."""
    old = store.go_live(artifacts, settings, "2026-01-01")
    new = store.go_live(artifacts, settings, "2026-01-02", variant=1)
    activated = {e.get("to"): e for e in journal.read(artifacts.journal)}
    intent = journal.append(
        artifacts.journal,
        journal.ROLLBACK,
        generation=3,
        expected=2,
        to=old,
        digest=activated[old]["digest"],
        quarantined=activated[new]["digest"],
    )
    store.wipe(settings)
    with pytest.raises(TryLater, match="lost changes"):
        retire.run(settings)
    journal.append(artifacts.journal, journal.OUTCOME, of=intent["seq"], result="generation 0")
    outcome = restore.run(artifacts, settings)
    assert (outcome.release, outcome.previous, outcome.restored) == (new, old, True)
