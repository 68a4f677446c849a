"""One primary comes back empty: no pointer moves to a release that lacks values, and what is missing is said."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import redis

from jobs.operations import audit, canary, releases, restore, rollback, why
from jobs.pipeline import activate, publish, retire
from jobs.release import journal
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import BrokenInput, NightshelfError
from jobs.runtime.settings import Settings
from jobs.store.completeness import Check, Completeness
from tests.harness import store
from tests.harness.releases import write_release

#: With so many users each of the three primaries has some of their four hashes.
USERS = 256
INCOMPLETE_OK = Check(incomplete_ok=True)


@dataclass(frozen=True)
class Days:
    """Three releases went live; the oldest is no longer live, previous or canary."""

    releases: tuple[str, ...]

    @property
    def oldest(self) -> str:
        """The first of them."""
        return self.releases[0]

    @property
    def live(self) -> str:
        """The last of them."""
        return self.releases[-1]


@pytest.fixture
def days(artifacts: Artifacts, settings: Settings) -> Days:
    """Three published days."""
    found = []
    for day in range(1, 4):
        folder = write_release(artifacts.root, f"2026-01-0{day}", variant=day, users=USERS)
        publish.run(folder, settings)
        activate.run(artifacts, folder.release, settings)
        found.append(folder.release)
    return Days(tuple(found))


def flush_one(settings: Settings, but_not: str = store.CATALOG) -> None:
    """Empty a primary that does not have the catalog."""
    with store.connected(settings) as cluster:
        keeper = cluster.get_node_from_key(but_not)
        (lost, *_) = [node for node in cluster.get_primaries() if node.name != keeper.name]
        with redis.Redis(host=lost.host, port=lost.port) as client:
            client.flushall()


def lost_values(artifacts: Artifacts, settings: Settings, release: str) -> int:
    """Count what a release lacks, value by value."""
    return audit.run(artifacts, settings, release=release, sample=None).differing


def test_releases_says_what_each_loaded_release_has_lost(
    artifacts: Artifacts, settings: Settings, days: Days
) -> None:
    """Nothing at first; then as many values, and users, as a comparison of every value finds."""
    before = releases.run(artifacts, settings).missing
    assert before == {r: {"keys": 0, "values": 0, "users": 0} for r in days.releases}
    flush_one(settings)
    after = releases.run(artifacts, settings).missing
    for release in days.releases:
        compared = audit.run(artifacts, settings, release=release, sample=None)
        # audit counts a lost description as one value, as the totals do.
        assert after[release]["values"] == compared.differing > 0
        assert after[release]["users"] in {len(compared.users), USERS}
        assert after[release]["keys"]


def test_publish_repairs_a_release_that_has_lost_values(
    artifacts: Artifacts, settings: Settings, days: Days
) -> None:
    """It says that the release was there, how much it had lost, and then nothing more."""
    flush_one(settings)
    folder = artifacts.release(days.oldest)
    lost = lost_values(artifacts, settings, days.oldest)
    found = publish.run(folder, settings)
    assert (found.already_loaded, found.repaired_values) == (True, lost)
    assert lost_values(artifacts, settings, days.oldest) == 0
    again = publish.run(folder, settings)
    assert (again.already_loaded, again.repaired_values) == (True, 0)


Move = Callable[[Artifacts, Settings, str, Check], object]


def _activate(artifacts: Artifacts, settings: Settings, release: str, check: Check) -> object:
    return activate.run(artifacts, release, settings, force=True, check=check).completeness


def _rollback(artifacts: Artifacts, settings: Settings, release: str, check: Check) -> object:
    return rollback.run(
        artifacts, settings, to=release, by="ada", reason="x", check=check
    ).completeness


def _canary(artifacts: Artifacts, settings: Settings, release: str, check: Check) -> object:
    return canary.start(
        artifacts, settings, release=release, share=0.5, by="ada", reason="x", check=check
    ).completeness


def _promote(artifacts: Artifacts, settings: Settings, _release: str, check: Check) -> object:
    """Promote a canary; it was started before anything was lost."""
    return canary.promote(artifacts, settings, by="ada", reason="x", check=check).completeness


MOVES = pytest.mark.parametrize("move", [_activate, _rollback, _canary, _promote])


def _ready_for(move: Move, artifacts: Artifacts, settings: Settings, days: Days) -> str:
    """Return the release that the move is about, with a canary where it needs one."""
    if move is not _promote:
        return days.oldest
    # Promoting is an activation: never of an older partition than the live one's.
    folder = write_release(artifacts.root, "2026-01-04", variant=4, users=USERS)
    publish.run(folder, settings)
    _canary(artifacts, settings, folder.release, Check())
    return folder.release


@MOVES
def test_what_is_missing_is_loaded_before_the_pointer_moves(
    artifacts: Artifacts, settings: Settings, days: Days, move: Move
) -> None:
    """With each command that moves the pointer; afterwards no user falls back."""
    release = _ready_for(move, artifacts, settings, days)
    flush_one(settings)
    lost = lost_values(artifacts, settings, release)
    assert move(artifacts, settings, release, Check()).repaired_values == lost > 0  # type: ignore[attr-defined]
    assert lost_values(artifacts, settings, release) == 0


@MOVES
def test_without_files_the_pointer_stays_and_what_is_missing_is_said(
    artifacts: Artifacts, settings: Settings, days: Days, move: Move
) -> None:
    """Exit code 4, written down as a refusal; --incomplete-ok moves it and says how many users fall back."""
    release = _ready_for(move, artifacts, settings, days)
    flush_one(settings)
    missing = releases.run(artifacts, settings).missing[release]
    artifacts.release(release).lists.unlink()
    before = store.fields(settings)
    with pytest.raises(BrokenInput, match=f"lacks in Redis {missing['values']} values") as caught:
        move(artifacts, settings, release, Check())
    assert f"up to {missing['users']} users get a fallback" in caught.value.do
    assert store.fields(settings) == before
    assert journal.read(artifacts.journal)[-1]["action"] == journal.REFUSAL
    found = move(artifacts, settings, release, INCOMPLETE_OK)
    assert found.missing_values == missing["values"]  # type: ignore[attr-defined]
    assert found.users_falling_back == missing["users"]  # type: ignore[attr-defined]
    moved = [e for e in journal.read(artifacts.journal) if e["action"] in journal.INTENTS][-1]
    assert moved["users_falling_back"] == missing["users"]


def test_the_folder_may_be_gone_altogether(
    artifacts: Artifacts, settings: Settings, days: Days
) -> None:
    """A rollback to a complete release needs none; to an incomplete one the refusal says what is missing."""
    shutil.rmtree(artifacts.release(days.oldest).root)
    shutil.rmtree(artifacts.release(days.releases[1]).root)
    _rollback(artifacts, settings, days.oldest, Check())
    flush_one(settings)
    with pytest.raises(BrokenInput, match="lacks in Redis"):
        _rollback(artifacts, settings, days.releases[1], Check())
    with pytest.raises(NightshelfError, match=r"decision\.json"):
        _activate(artifacts, settings, days.releases[1], Check())
    _rollback(artifacts, settings, days.releases[1], INCOMPLETE_OK)
    assert releases.run(artifacts, settings).live == days.releases[1]


def test_a_full_check_finds_what_totals_cannot(
    artifacts: Artifacts, settings: Settings, days: Days
) -> None:
    """A value that was overwritten: the totals are right, --check full puts it right."""
    with store.connected(settings) as cluster:
        cluster.hset(f"shelf:{days.oldest}:users:3", "7", "wrong")
    assert _canary(artifacts, settings, days.oldest, Check(full=True)).repaired_values == 1  # type: ignore[attr-defined]
    assert lost_values(artifacts, settings, days.oldest) == 0


def test_a_release_of_older_code_gets_its_totals(
    artifacts: Artifacts, settings: Settings, days: Days
) -> None:
    """Until then its lost keys are counted; publish and restore write the totals down."""
    _forget_totals(settings)
    assert _canary(artifacts, settings, days.oldest, Check()) == Completeness()
    canary.stop(artifacts, settings, by="ada", reason="x")
    flush_one(settings)
    found = releases.run(artifacts, settings).missing
    assert all(found[r]["keys"] and found[r]["values"] is None for r in days.releases)
    restore.run(artifacts, settings)
    complete = {"keys": 0, "values": 0, "users": 0}
    after = releases.run(artifacts, settings).missing
    assert [after[release] == complete for release in days.releases] == [False, True, True]
    publish.run(artifacts.release(days.oldest), settings)
    assert releases.run(artifacts, settings).missing[days.oldest] == complete


def _forget_totals(settings: Settings) -> None:
    """Make the records what older code writes."""
    with store.connected(settings) as cluster:
        for name, value in store.fields(settings).items():
            if name.startswith(b"release:"):
                record = json.loads(value)
                for added in ("totals", "bytes", "redis_replicas", "verified_at_ms"):
                    record.pop(added)
                cluster.hset(store.CATALOG, name, json.dumps(record))


def test_why_and_audit_and_retire_tell_the_loss(
    artifacts: Artifacts, settings: Settings, days: Days
) -> None:
    """A user whose list is lost gets popularity, and is not called unknown without a word; retire goes on."""
    key = f"shelf:{days.live}:users:3"
    with store.connected(settings) as cluster:
        cluster.delete(key)
    assert why.run(artifacts, settings, 3).list_lost
    assert not why.run(artifacts, settings, 4).list_lost
    assert not why.run(artifacts, settings, 100_000).list_lost
    assert audit.run(artifacts, settings, sample=None).users == list(range(3, USERS + 1, 4))
    flush_one(settings)
    assert retire.run(settings).retired == []
    restore.run(artifacts, settings)
    assert not why.run(artifacts, settings, 3).list_lost
    assert lost_values(artifacts, settings, days.releases[1]) == 0


def test_restore_makes_a_canary_complete_too(
    artifacts: Artifacts, settings: Settings, days: Days
) -> None:
    """Its users would fall back like those of the live release."""
    _canary(artifacts, settings, days.oldest, Check())
    flush_one(settings)
    restore.run(artifacts, settings)
    assert lost_values(artifacts, settings, days.oldest) == 0
    assert releases.run(artifacts, settings).canary == days.oldest
