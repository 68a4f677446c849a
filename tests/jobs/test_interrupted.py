"""Every command of the store killed between any two writes, against a real Redis Cluster."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.operations import audit, releases, restore, rollback
from jobs.pipeline import activate, publish, retire
from jobs.release import history, journal
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import GateRefused
from jobs.runtime.settings import Settings
from jobs.store import loading
from tests.harness import store
from tests.harness.crashes import crashing
from tests.harness.releases import write_release

FIRST, SECOND = "2026-01-01", "2026-01-02"


@pytest.fixture(autouse=True)
def _each_command_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipelines of one command, so that a load can die between any two of them."""
    monkeypatch.setattr(loading, "_PIPELINE", 1)


class Place:
    """Artifacts and a cluster brought back to where they were before each crash."""

    def __init__(self, settings: Settings, kept: Path) -> None:
        """Keep what is there now."""
        self.settings, self.artifacts = settings, Artifacts(settings.artifacts)
        self._kept = kept
        shutil.copytree(settings.artifacts, kept)
        with store.connected(settings) as cluster:
            dumps = {key: cluster.dump(key) for key in store.all_keys(settings)}
        self._values = {key: value for key, value in dumps.items() if value is not None}

    def again(self) -> None:
        """Go back."""
        shutil.rmtree(self.settings.artifacts)
        shutil.copytree(self._kept, self.settings.artifacts)
        store.wipe(self.settings)
        with store.connected(self.settings) as cluster:
            for key, value in self._values.items():
                cluster.restore(key, 0, value)

    def live(self) -> str | None:
        """Return the live release, after checking that all of it is there."""
        live = releases.run(self.artifacts, self.settings).live
        if live is not None:
            found = audit.run(self.artifacts, self.settings, release=live, sample=None)
            assert (found.differing, found.description) == (0, False)
        return live

    def agreed(self) -> None:
        """Check that the journal says what Redis says, with nothing left open."""
        past = history.fold(journal.read(self.artifacts.journal))
        found = releases.run(self.artifacts, self.settings)
        assert past.opened == ()
        assert (past.live, past.previous) == (found.live, found.previous)
        assert set(past.quarantine) == set(found.quarantined)
        assert not found.behind_journal


def at_every_write(place: Place, act: Callable[[], object], check: Callable[[], None]) -> None:
    """Let `act` die before its first, second, third ... write until it comes through; `check` after each death."""
    fatal = 0
    while True:
        fatal += 1
        place.again()
        with crashing(fatal) as counter:
            act()
        if not counter.crashed:
            break
        store.end_leases(place.settings)
        check()
    assert fatal > 5


def test_a_killed_publish_harms_nothing_and_blocks_nothing(
    artifacts: Artifacts, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The live release stays whole, and the next publish of the same release works and can go live."""
    live = store.go_live(artifacts, settings, FIRST)
    folder = write_release(artifacts.root, SECOND, variant=1)
    place = Place(settings, tmp_path_factory.mktemp("kept") / "artifacts")

    def check() -> None:
        assert place.live() == live
        publish.run(folder, settings)
        assert place.live() == live
        activate.run(artifacts, folder.release, settings)
        assert place.live() == folder.release
        place.agreed()

    at_every_write(place, lambda: publish.run(folder, settings), check)


def test_what_a_killed_publish_left_goes_with_the_next_release(
    artifacts: Artifacts, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Another release's publish removes the half-loaded one; only whole releases are left."""
    live = store.go_live(artifacts, settings, FIRST)
    folder = write_release(artifacts.root, SECOND, variant=1)
    other = write_release(artifacts.root, "2026-01-03", variant=2)
    place = Place(settings, tmp_path_factory.mktemp("kept") / "artifacts")

    def check() -> None:
        publish.run(other, settings)
        found = releases.run(artifacts, settings).loaded
        assert set(found.values()) == {"verified"}
        assert {live, other.release} <= set(found)
        present = {key.split(":")[1] for key in store.all_keys(settings)} - {"catalog", "journal"}
        assert present == set(found)

    at_every_write(place, lambda: publish.run(folder, settings), check)


def test_a_killed_activation_happened_or_did_not(
    artifacts: Artifacts, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One of the two releases is live, whole; the same command again makes the new one live, once."""
    old = store.go_live(artifacts, settings, FIRST)
    folder = write_release(artifacts.root, SECOND, variant=1)
    publish.run(folder, settings)
    place = Place(settings, tmp_path_factory.mktemp("kept") / "artifacts")

    def check() -> None:
        assert place.live() in {old, folder.release}
        outcome = activate.run(artifacts, folder.release, settings)
        assert (outcome.release, outcome.previous) == (folder.release, old)
        assert place.live() == folder.release
        place.agreed()

    at_every_write(place, lambda: activate.run(artifacts, folder.release, settings), check)


def test_a_killed_rollback_happened_or_did_not(
    artifacts: Artifacts, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Done again if need be it bars the lists that were left, also after Redis was wiped and restored."""
    old = store.go_live(artifacts, settings, FIRST)
    new = store.go_live(artifacts, settings, SECOND, variant=1)
    place = Place(settings, tmp_path_factory.mktemp("kept") / "artifacts")

    def roll_back() -> object:
        return rollback.run(artifacts, settings, to=old, by="ada", reason="odd lists")

    def check() -> None:
        if place.live() == new:
            roll_back()
        assert place.live() == old
        restore.run(artifacts, settings)
        place.agreed()
        store.wipe(settings)
        restore.run(artifacts, settings)
        assert place.live() == old
        with pytest.raises(GateRefused, match="quarantined"):
            publish.run(artifacts.release(new), settings)

    at_every_write(place, roll_back, check)


def test_redis_lost_right_after_a_killed_rollback(
    artifacts: Artifacts, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What was rolled back stays barred even if the outcome was never written and Redis was wiped."""
    old = store.go_live(artifacts, settings, FIRST)
    new = store.go_live(artifacts, settings, SECOND, variant=1)
    place = Place(settings, tmp_path_factory.mktemp("kept") / "artifacts")

    def check() -> None:
        rolled_back = place.live() == old
        store.wipe(settings)
        restore.run(artifacts, settings)
        assert place.live() == old or not rolled_back
        if place.live() == old:
            with pytest.raises(GateRefused, match="quarantined"):
                publish.run(artifacts.release(new), settings)
        place.agreed()

    at_every_write(
        place,
        lambda: rollback.run(artifacts, settings, to=old, by="ada", reason="odd lists"),
        check,
    )


def test_a_killed_restore_is_finished_by_the_next(
    artifacts: Artifacts, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing but the live release of the journal goes live, and the second restore completes it."""
    old = store.go_live(artifacts, settings, FIRST)
    new = store.go_live(artifacts, settings, SECOND, variant=1)
    generation = releases.run(artifacts, settings).generation
    store.wipe(settings)
    place = Place(settings, tmp_path_factory.mktemp("kept") / "artifacts")

    def check() -> None:
        assert place.live() in {None, new}
        restore.run(artifacts, settings)
        assert place.live() == new
        found = releases.run(artifacts, settings)
        assert (found.previous, found.generation > generation) == (old, True)
        place.agreed()

    at_every_write(place, lambda: restore.run(artifacts, settings), check)


def test_a_killed_retire_is_finished_by_the_next(
    artifacts: Artifacts, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Live and previous stay whole, and the second retire leaves no key of the old release."""
    old = store.go_live(artifacts, settings, FIRST)
    for day, variant in ((SECOND, 1), ("2026-01-03", 2)):
        live = store.go_live(artifacts, settings, day, variant)
    place = Place(settings, tmp_path_factory.mktemp("kept") / "artifacts")
    none_spare = replace(settings, keep_releases=0)

    def check() -> None:
        assert place.live() == live
        retire.run(none_spare)
        assert place.live() == live
        assert not [key for key in store.all_keys(settings) if old in key]
        assert old not in releases.run(artifacts, settings).loaded

    at_every_write(place, lambda: retire.run(none_spare), check)
