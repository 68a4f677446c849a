"""Publish, activate, rollback, retire, restore against a real Redis Cluster."""

from dataclasses import replace
from pathlib import Path

import pytest
import redis

from jobs.operations import audit, releases, restore, rollback, why
from jobs.pipeline import activate, publish, retire
from jobs.release import journal
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import BrokenInput, GateRefused, NothingToDo, TryLater, WrongUsage
from jobs.runtime.settings import Settings
from jobs.store import activation
from schemas.environment import Node
from tests.harness.releases import list_of, write_release


@pytest.fixture
def settings(redis_nodes: tuple[Node, ...], tmp_path: Path) -> Settings:
    """Settings for the session's cluster, emptied, and artifacts of this test alone."""
    return Settings(artifacts=tmp_path, redis=redis_nodes, retire_grace_s=0)


@pytest.fixture
def artifacts(settings: Settings) -> Artifacts:
    """The artifacts of this test."""
    return Artifacts(settings.artifacts)


def _wipe(settings: Settings) -> None:
    for node in settings.redis:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()


def _go_live(artifacts: Artifacts, settings: Settings, partition: str, variant: int = 0) -> str:
    folder = write_release(artifacts.root, partition, variant=variant)
    publish.run(folder, settings)
    activate.run(artifacts, folder.release, settings)
    return folder.release


def test_a_published_release_is_loaded_and_not_live(
    artifacts: Artifacts, settings: Settings
) -> None:
    """Publish verifies a release and leaves the pointer alone."""
    folder = write_release(artifacts.root, "2026-01-01")
    outcome = publish.run(folder, settings)
    assert outcome.lists == 30 + 40 + 3
    assert not outcome.already_loaded
    found = releases.run(artifacts, settings)
    assert found.live is None
    assert found.loaded == {folder.release: "verified"}


def test_publishing_again_loads_nothing(artifacts: Artifacts, settings: Settings) -> None:
    """The same work is recognised by its id: no second load."""
    folder = write_release(artifacts.root, "2026-01-01")
    publish.run(folder, settings)
    assert publish.run(folder, settings).already_loaded


def test_a_users_answer_is_followed_back(artifacts: Artifacts, settings: Settings) -> None:
    """`why` names the release, the list with titles and the user's own rows."""
    release = _go_live(artifacts, settings, "2026-01-01")
    found = why.run(artifacts, settings, 7, limit=3)
    assert found.release == release
    assert [item["book_id"] for item in found.items] == list_of(7)[:3]
    assert [row["book_id"] for row in found.ratings] == [40]


def test_an_unverified_release_never_goes_live(artifacts: Artifacts, settings: Settings) -> None:
    """Activation of a release that was not published is refused and journalled; the live one stays."""
    live = _go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02")
    with pytest.raises(GateRefused, match="never verified"):
        activate.run(artifacts, folder.release, settings)
    assert releases.run(artifacts, settings).live == live
    assert journal.read(artifacts.journal)[-1]["action"] == journal.REFUSAL


def test_an_older_partition_does_not_replace_a_newer_one(
    artifacts: Artifacts, settings: Settings
) -> None:
    """A backfilled day stays beside the live one unless forced."""
    live = _go_live(artifacts, settings, "2026-01-05")
    folder = write_release(artifacts.root, "2026-01-03")
    publish.run(folder, settings)
    with pytest.raises(NothingToDo, match="not newer"):
        activate.run(artifacts, folder.release, settings)
    assert releases.run(artifacts, settings).live == live
    activate.run(artifacts, folder.release, settings, force=True)
    assert releases.run(artifacts, settings).live == folder.release


def test_a_hold_needs_an_approval_after_the_first_release(
    artifacts: Artifacts, settings: Settings
) -> None:
    """The first release of an empty store goes live on hold and says so; the next one needs a person."""
    first = write_release(artifacts.root, "2026-01-01", verdict="hold")
    publish.run(first, settings)
    assert activate.run(artifacts, first.release, settings).first_on_hold
    second = write_release(artifacts.root, "2026-01-02", verdict="hold")
    publish.run(second, settings)
    with pytest.raises(GateRefused, match="hold"):
        activate.run(artifacts, second.release, settings)
    approval = activation.Approval("ada", "looked at it")
    outcome = activate.run(artifacts, second.release, settings, approval=approval)
    assert outcome.approved_by == "ada"
    assert [e["who"] for e in journal.read(artifacts.journal) if e["action"] == "activate"] == [
        "nightshelf",
        "ada",
    ]


def test_a_stop_is_never_loaded(artifacts: Artifacts, settings: Settings) -> None:
    """A release whose verdict is stop does not reach Redis."""
    folder = write_release(artifacts.root, "2026-01-01", verdict="stop")
    with pytest.raises(GateRefused, match="stop"):
        publish.run(folder, settings)
    assert releases.run(artifacts, settings).loaded == {}


def test_rollback_bars_what_it_leaves(artifacts: Artifacts, settings: Settings) -> None:
    """After a rollback the release that was left cannot be activated, loaded or restored."""
    first = _go_live(artifacts, settings, "2026-01-01")
    second = _go_live(artifacts, settings, "2026-01-02", variant=1)
    rollback.run(artifacts, settings, to=None, by="ada", reason="odd lists")
    assert releases.run(artifacts, settings).live == first
    with pytest.raises(GateRefused, match="quarantined"):
        activate.run(artifacts, second, settings)
    with pytest.raises(WrongUsage, match="no previous"):
        rollback.run(artifacts, settings, to=None, by="ada", reason="again")
    _wipe(settings)
    outcome = restore.run(artifacts, settings)
    assert (outcome.release, outcome.restored) == (first, True)
    with pytest.raises(GateRefused, match="quarantined"):
        publish.run(artifacts.release(second), settings)


def test_restore_brings_back_live_and_previous_with_a_higher_generation(
    artifacts: Artifacts, settings: Settings
) -> None:
    """A wiped cluster serves the same two releases again, under a generation never used before."""
    first = _go_live(artifacts, settings, "2026-01-01")
    second = _go_live(artifacts, settings, "2026-01-02", variant=1)
    before = releases.run(artifacts, settings).generation
    _wipe(settings)
    outcome = restore.run(artifacts, settings)
    assert (outcome.release, outcome.previous) == (second, first)
    assert outcome.generation > before
    assert audit.run(artifacts, settings, sample=None).differing == 0
    assert not restore.run(artifacts, settings).restored


def test_restore_refuses_files_that_changed(artifacts: Artifacts, settings: Settings) -> None:
    """A flipped byte in a release's file is found before anything goes live."""
    live = _go_live(artifacts, settings, "2026-01-01")
    _wipe(settings)
    lists = artifacts.release(live).lists
    content = bytearray(lists.read_bytes())
    content[len(content) // 2] ^= 1
    lists.write_bytes(content)
    with pytest.raises(BrokenInput, match=r"lists\.parquet changed"):
        restore.run(artifacts, settings)
    assert releases.run(artifacts, settings).live is None


def test_retire_keeps_what_may_still_be_read(artifacts: Artifacts, settings: Settings) -> None:
    """Live and previous stay; older ones go only after the grace time, with all of their keys."""
    loaded_ones = [
        _go_live(artifacts, settings, f"2026-01-0{day}", variant=day) for day in range(1, 5)
    ]
    patient = replace(settings, retire_grace_s=3600, keep_releases=0)
    assert retire.run(patient).retired == []
    outcome = retire.run(replace(settings, keep_releases=0))
    assert outcome.retired == loaded_ones[:2]
    # meta, popular, and for so few one bucket of each of three kinds
    assert outcome.keys_removed == 2 * 5
    assert releases.run(artifacts, settings).loaded.keys() == set(loaded_ones[2:])


def test_audit_names_a_value_changed_by_hand(artifacts: Artifacts, settings: Settings) -> None:
    """An audit of everything finds the one field that somebody wrote over."""
    live = _go_live(artifacts, settings, "2026-01-01")
    with redis.RedisCluster(host=settings.redis[0].host, port=settings.redis[0].port) as cluster:
        cluster.hset(f"shelf:{live}:users:0", "7", b"wrong")
    found = audit.run(artifacts, settings, sample=None)
    assert (found.differing, found.users) == (1, [7])


def test_redis_out_of_memory_leaves_the_live_release(
    artifacts: Artifacts, settings: Settings
) -> None:
    """A load that meets maxmemory ends with advice; the live release stays, the next publish works."""
    live = _go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02", variant=1)
    clients = [redis.Redis(host=node.host, port=node.port) for node in settings.redis]
    for client in clients:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
    with pytest.raises(TryLater, match="out of memory"):
        publish.run(folder, settings)
    assert releases.run(artifacts, settings).live == live
    for client in clients:
        client.config_set("maxmemory", 0)
        client.close()
    assert not publish.run(folder, settings).already_loaded


def test_an_unreachable_redis_is_told_plainly(artifacts: Artifacts) -> None:
    """No cluster at the address: TryLater with the address and what to do."""
    folder = write_release(artifacts.root, "2026-01-01")
    nowhere = Settings(artifacts=artifacts.root, redis=(Node("127.0.0.1", 1),))
    with pytest.raises(TryLater, match=r"cannot be reached[\s\S]*127\.0\.0\.1:1"):
        publish.run(folder, nowhere)
