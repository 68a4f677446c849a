"""Settling what died, bringing Redis up to the journal, and Redis that went back in time."""

import time
from collections.abc import Iterator

import pytest

from jobs.operations import canary, releases, restore, rollback
from jobs.pipeline import activate, publish, retire
from jobs.release import checksum, journal
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import GateRefused, TryLater
from jobs.runtime.settings import Settings
from jobs.store import changes
from jobs.store.changes import Store
from tests.harness import store as outside
from tests.harness.releases import write_release


@pytest.fixture
def opened(settings: Settings, artifacts: Artifacts) -> Iterator[Store]:
    """An open store."""
    with changes.opened(artifacts, settings) as store:
        yield store


def test_a_held_up_command_cannot_act_after_it_was_given_up(
    opened: Store, artifacts: Artifacts, settings: Settings
) -> None:
    """An activation is frozen between journal and Redis; another command settles it; it wakes up and is refused."""
    live = outside.go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02", variant=1)
    publish.run(folder, settings)
    generation = opened.registry.read().generation
    intent = journal.append(
        artifacts.journal,
        journal.ACTIVATE,
        to=folder.release,
        digest="d",
        generation=generation + 1,
        expected=generation,
    )
    changes.settled(opened)
    late = opened.registry.change(
        "activate", journal.name(intent), generation, generation + 1, folder.release, 0
    )
    assert late.word == "closed"
    found = releases.run(artifacts, settings)
    assert (found.live, found.behind_journal) == (live, False)
    outcome = journal.read(artifacts.journal)[-1]
    assert (outcome["of"], outcome["result"], outcome["settled_by"]) == (
        intent["seq"],
        "closed",
        "nightshelf",
    )
    assert activate.run(artifacts, folder.release, settings).generation == generation + 2


def test_another_commands_intent_is_waited_for(
    opened: Store, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that is in the middle of its change is not cut off while there is patience."""
    entry = journal.append(
        artifacts.journal, journal.CANARY_STOP, generation=1, expected=0, who="ada", why="x"
    )

    def meanwhile(_seconds: float) -> None:
        journal.append(artifacts.journal, journal.OUTCOME, of=entry["seq"], result="no_canary")

    monkeypatch.setattr(changes, "PATIENCE_S", 60.0)
    monkeypatch.setattr(time, "sleep", meanwhile)
    changes.settled(opened)
    assert [e["action"] for e in journal.read(artifacts.journal)] == ["canary_stop", "outcome"]


def test_the_journal_is_copied_to_redis(
    opened: Store, artifacts: Artifacts, settings: Settings
) -> None:
    """Entry by entry, under its number, with its checksum; what is missing comes with the next command."""
    outside.go_live(artifacts, settings, "2026-01-01")
    entries = journal.read(artifacts.journal)
    copied = outside.fields(settings, "shelf:journal")
    assert {int(name): checksum.opened(value) for name, value in copied.items()} == {
        e["seq"]: e for e in entries
    }
    outside.put_back(settings, {b"1": copied[b"1"]}, "shelf:journal")
    changes.settled(opened)
    assert outside.fields(settings, "shelf:journal") == copied


def test_a_lost_rollback_is_not_built_upon(artifacts: Artifacts, settings: Settings) -> None:
    """Redis failed over to a copy without the last rollback: every change and every removal waits for a restore."""
    old = outside.go_live(artifacts, settings, "2026-01-01")
    new = outside.go_live(artifacts, settings, "2026-01-02", variant=1)
    third = write_release(artifacts.root, "2026-01-03", variant=2)
    publish.run(third, settings)
    before = outside.fields(settings)
    rollback.run(artifacts, settings, to=None, by="ada", reason="odd")
    outside.put_back(settings, before)
    found = releases.run(artifacts, settings)
    assert (found.live, found.behind_journal, found.journal_live) == (new, True, old)
    steps = (
        lambda: activate.run(artifacts, third.release, settings),
        lambda: rollback.run(artifacts, settings, to=None, by="ada", reason="again"),
        lambda: canary.start(
            artifacts, settings, release=third.release, share=0.5, by="ada", reason="x"
        ),
        lambda: retire.run(settings),
    )
    for step in steps:
        with pytest.raises(TryLater, match=r"lost changes of the pointer[\s\S]*restore"):
            step()
    outcome = restore.run(artifacts, settings)
    assert (outcome.release, outcome.previous, outcome.loaded) == (old, None, [])
    assert outcome.generation == 4
    with pytest.raises(GateRefused, match="quarantined"):
        activate.run(artifacts, new, settings)
    assert activate.run(artifacts, third.release, settings).generation == 5


def test_a_lost_activation_is_made_again(artifacts: Artifacts, settings: Settings) -> None:
    """After a restore the newer release is live again, under a generation that nobody has seen."""
    old = outside.go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02", variant=1)
    publish.run(folder, settings)
    before = outside.fields(settings)
    activate.run(artifacts, folder.release, settings)
    outside.put_back(settings, before)
    outcome = restore.run(artifacts, settings)
    assert (outcome.release, outcome.previous, outcome.generation) == (folder.release, old, 3)


def test_a_lost_quarantine_comes_back_with_the_next_command(
    opened: Store, artifacts: Artifacts, settings: Settings
) -> None:
    """Whatever Redis forgot of what is barred is carried over from the journal before anything is loaded."""
    stopped = write_release(artifacts.root, "2026-01-01", verdict="stop")
    with pytest.raises(GateRefused):
        publish.run(stopped, settings)
    outside.wipe(settings)
    with pytest.raises(GateRefused, match="quarantined"):
        publish.run(write_release(artifacts.root, "2026-01-02"), settings)
    assert len(opened.registry.read().quarantine) == 1


def test_force_activates_over_what_was_lost(artifacts: Artifacts, settings: Settings) -> None:
    """Where nothing can be restored any more a person may go on, under a generation never used before."""
    outside.go_live(artifacts, settings, "2026-01-01")
    outside.wipe(settings)
    folder = write_release(artifacts.root, "2026-01-02", variant=1)
    publish.run(folder, settings)
    with pytest.raises(TryLater, match="restore"):
        activate.run(artifacts, folder.release, settings)
    assert activate.run(artifacts, folder.release, settings, force=True).generation == 2
    assert not releases.run(artifacts, settings).behind_journal


def test_a_refusal_is_written_down(artifacts: Artifacts, settings: Settings) -> None:
    """Who was refused what, and why, with no outcome to follow."""
    folder = write_release(artifacts.root, "2026-01-01")
    with pytest.raises(GateRefused):
        activate.run(artifacts, folder.release, settings)
    (entry,) = journal.read(artifacts.journal)
    assert (entry["action"], entry["who"], entry["to"]) == (
        "refusal",
        "nightshelf",
        folder.release,
    )
    assert "never verified" in entry["why"]
