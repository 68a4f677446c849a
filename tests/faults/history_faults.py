"""Faults of the store's history and memory: an old journal, a second one, lost values before a change, eviction.

In: a stage. Out: the round of the stage, filled in. Guarantees that one journal and a complete live release are left
when a function returns.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace

from jobs.runtime.settings import Settings
from tests.faults import steps
from tests.faults.deployment import RedisNode
from tests.faults.stage import Stage
from tests.faults.steps import Ended
from tests.harness.store import CATALOG

_MANY_USERS, _LONG = 10_000, 100
#: A release of so many users needs about 1.5 MB of each primary.
_ROOM = 600_000
_TRIES = 2


def journal_from_backup(stage: Stage) -> None:
    """The journal comes back from a copy of before the last activation: said by every command, and reconciled."""
    publisher = stage.publisher
    journal = publisher.settings.artifacts / "journal"
    old, newest = journal.with_name("journal-old"), journal.with_name("journal-newest")
    with publisher.turn:
        shutil.copytree(journal, old)
        release, other = publisher.write(), publisher.write()
        for name in (release, other):
            publisher.until_well("publish", steps.load, name)
        publisher.activate(release)
        stage.begins()
        journal.rename(newest)
        old.rename(journal)
        for what, ended in _every_command(publisher.settings, other):
            stage.expects(_says_so(ended), f"{what} with an old journal: {ended}")
        stage.watch()
        ended = publisher.until_well("reconcile", steps.take_history)
        stage.expects(ended.well, f"reconcile of an old journal: {ended}")
        _is_as_it_was(stage, release)
        stage.expects(publisher.back().well, "no rollback after an old journal was reconciled")
        shutil.rmtree(newest)


def second_journal(stage: Stage) -> None:
    """Somebody publishes into the same store from other artifacts, again and again: refused each time."""
    publisher = stage.publisher
    artifacts = publisher.settings.artifacts
    other = replace(publisher.settings, artifacts=artifacts.with_name("second"))
    with publisher.turn:
        release = publisher.write()
        publisher.until_well("publish", steps.load, release)
        before = publisher.live
        assert before is not None
        # What is loaded could go live at once.
        shutil.copytree(artifacts / "releases" / release, other.artifacts / "releases" / release)
        stage.begins()
        for _ in range(_TRIES):
            for what, ended in _every_command(other, release):
                stage.expects(_says_so(ended), f"{what} from second artifacts: {ended}")
        stage.watch()
        _is_as_it_was(stage, before)
        publisher.activate(release)
        shutil.rmtree(other.artifacts)


def _every_command(settings: Settings, release: str) -> list[tuple[str, Ended]]:
    return [
        ("restore", steps.carry_out(steps.mend, settings)),
        ("rollback", steps.carry_out(steps.go_back, settings)),
        ("publish", steps.carry_out(steps.load, settings, release)),
        ("activate", steps.carry_out(steps.go_live, settings, release)),
        ("canary", steps.carry_out(steps.try_out, settings, release)),
    ]


def _says_so(ended: Ended) -> bool:
    return ended.advice and "journal" in ended.text


def _is_as_it_was(stage: Stage, release: str) -> None:
    found = stage.publisher.until_well("restore", steps.mend)
    stage.expects(
        found.well and found.outcome.release == release and not found.outcome.restored,
        f"{release} was live, then: {found}",
    )


def flushed_before(kind: str) -> Callable[[Stage], None]:
    """Return the fault of a primary emptied by hand just before a change of the pointer: its users' lists are back."""

    def primary_flushed(stage: Stage) -> None:
        publisher = stage.publisher
        with publisher.turn:
            release = publisher.write()
            publisher.until_well("publish", steps.load, release)
            if publisher.before is None:
                publisher.activate(release)
                release = publisher.write()
                publisher.until_well("publish", steps.load, release)
            if kind == "promotion":
                publisher.try_out(release)
            stage.breaks()
            _flush(stage)
            target = publisher.before if kind == "rollback" else release
            ways: dict[str, Callable[[], object]] = {
                "activation": lambda: publisher.activate(release),
                "rollback": publisher.back,
                "canary": lambda: publisher.try_out(release),
                "promotion": lambda: publisher.promote(release),
            }
            ways[kind]()
            found = publisher.until_well("audit", steps.compare, target)
            stage.expects(
                found.well and not found.outcome.differing and not found.outcome.description,
                f"{target} after a flush and the {kind}: {found}",
            )
            stage.expects(
                kind == "canary" or publisher.live == target, f"no {kind}: {publisher.live}"
            )
            if kind == "canary":
                # What was live before has lost its lists, too, and the canary is for half of the users.
                stage.restores()
            else:
                stage.heals()

    return primary_flushed


def _flush(stage: Stage) -> None:
    """Empty a primary that does not hold the catalog; its Redis replica follows."""
    holder = stage.deployment.primary_of(CATALOG)
    primaries = [node for node in stage.deployment.redis if node.slots and node is not holder]
    stage.chance.choice(primaries).ask("FLUSHALL")


def evicting(stage: Stage) -> None:
    """Redis evicts what is not read and has too little memory for one more release: no load, and nothing is lost."""
    publisher = stage.publisher
    with publisher.turn:
        great = publisher.write(users=_MANY_USERS, length=_LONG)
        stage.begins()
        _configure(stage, "allkeys-lru", _ROOM)
        try:
            ended = publisher.note(
                "publish", steps.carry_out(steps.load, publisher.settings, great)
            )
            stage.expects(
                ended.advice and "allkeys-lru" in ended.text, f"publish with eviction: {ended}"
            )
            stage.watch()
            for what, command in (("restore", steps.mend), ("retire", steps.make_room)):
                ended = publisher.note(what, steps.carry_out(command, publisher.settings))
                found = publisher.until_well("audit", steps.compare)
                stage.expects(
                    found.well and not found.outcome.differing,
                    f"the live release after {what} with eviction ({ended}): {found}",
                )
            if publisher.before is not None:
                publisher.back()
        finally:
            _configure(stage, "noeviction", None)


def _configure(stage: Stage, policy: str, room: int | None) -> None:
    """Set the policy, and leave each node so much room, or any."""
    for node in stage.deployment.redis:
        limit = 0 if room is None else _used(node) + room
        node.ask("CONFIG", "SET", "maxmemory", limit)
        node.ask("CONFIG", "SET", "maxmemory-policy", policy)


def _used(node: RedisNode) -> int:
    lines = str(node.ask("INFO", "memory")).splitlines()
    return next(int(line.partition(":")[2]) for line in lines if line.startswith("used_memory:"))
