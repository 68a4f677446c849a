"""Publish, activate, roll back, retire, wipe, restore, a journal from a backup, in any order, dying between any writes.

Hypothesis makes up what is done and shrinks what breaks a promise; the store is a real Redis Cluster, the journal a
real folder. Nobody knows in advance which commands are refused: what must hold is looked up from outside after each.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as bounds
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobs.operations import audit, canary, reconcile, releases, restore, rollback
from jobs.pipeline import activate, publish, retire
from jobs.release import journal
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import BrokenInput, NightshelfError, TryLater
from jobs.runtime.settings import Settings
from jobs.store import activation, loading
from jobs.store.activation import Approval
from jobs.store.registry import Answer, Registry
from tests.harness import store
from tests.harness.crashes import crashing
from tests.harness.releases import write_release

#: Days and lists: two of each, so that the same lists come under two days and a day has two releases.
_RELEASES = [("2026-01-01", 1), ("2026-01-01", 2), ("2026-01-02", 3), ("2026-01-03", 4)]

_releases = st.integers(0, len(_RELEASES) - 1)
#: Before which write something happens; most commands have fewer than thirty.
_writes = st.one_of(st.none(), st.integers(1, 30))


class Pointer(NamedTuple):
    """What the catalog says, read from outside."""

    live: str | None
    previous: str | None
    canary: str | None
    generation: int


class Shelf(RuleBasedStateMachine):
    """The store and what was seen of it."""

    def __init__(
        self, settings: Settings, written: Path, sent: list[tuple[str | float, ...]]
    ) -> None:
        """Begin with an empty cluster and an empty journal; `sent` are all messages to the catalog."""
        super().__init__()
        self.sent = sent
        sent.clear()
        self.settings, self.artifacts = settings, Artifacts(settings.artifacts)
        shutil.rmtree(settings.artifacts, ignore_errors=True)
        shutil.copytree(written, settings.artifacts)
        store.wipe(settings)
        self.releases = sorted(folder.name for folder in self.artifacts.releases.iterdir())
        self.greatest = 0
        self.barred: set[str] = set()
        self.lost = False
        self.dead = False
        self.saved = settings.artifacts / "saved"

    # ---- what is done ----------------------------------------------------------------------------------------

    def _command(self, name: str, release: str) -> Callable[[], object]:
        artifacts, settings = self.artifacts, self.settings
        why: dict[str, Any] = {"by": "ada", "reason": "a test"}
        found: dict[str, Callable[[], object]] = {
            "publish": lambda: publish.run(artifacts.release(release), settings),
            "activate": lambda: activate.run(artifacts, release, settings),
            "activate by force": lambda: activate.run(artifacts, release, settings, force=True),
            "rollback": lambda: rollback.run(artifacts, settings, to=None, **why),
            "canary": lambda: canary.start(artifacts, settings, release=release, share=0.5, **why),
            "promote": lambda: canary.promote(artifacts, settings, **why),
            "quarantine": lambda: canary.stop(artifacts, settings, quarantine=True, **why),
            "retire": lambda: retire.run(settings),
            "restore": lambda: restore.run(artifacts, settings),
        }
        return found[name]

    _names = st.sampled_from(
        [
            *("publish", "publish", "activate", "activate", "activate by force", "rollback"),
            *("canary", "promote", "quarantine", "retire", "restore"),
        ]
    )

    @rule(name=_names, release=_releases)
    def carry_out(self, name: str, release: int) -> None:
        """A command, to its end or its refusal; what it says that it did is done."""
        with suppress(NightshelfError):
            outcome = self._command(name, self.releases[release])()
            if isinstance(outcome, activation.ActivateResult | rollback.RollbackResult):
                pointer = self._pointer()
                assert (pointer.live, pointer.generation) == (outcome.release, outcome.generation)
            if isinstance(outcome, rollback.RollbackResult):
                assert f"quarantine:{outcome.quarantined_digest}".encode() in store.fields(
                    self.settings
                )

    @rule(release=_releases)
    def serve(self, release: int) -> None:
        """Publish and activate, so that there is something to break."""
        with suppress(NightshelfError):
            self._command("publish", self.releases[release])()
            self._command("activate by force", self.releases[release])()

    @rule(name=_names, release=_releases, fatal=st.integers(1, 30))
    def die(self, name: str, release: int, fatal: int) -> None:
        """A command whose process is gone before a write; its lease runs out."""
        with crashing(fatal) as counter, suppress(NightshelfError):
            self._command(name, self.releases[release])()
        self.dead = self.dead or counter.crashed
        store.end_leases(self.settings)

    @rule(
        names=st.tuples(_names, _names),
        releases=st.tuples(_releases, _releases),
        at=st.integers(1, 30),
    )
    def meet(self, names: tuple[str, str], releases: tuple[int, int], at: int) -> None:
        """A second publisher carries out a whole command between two writes of the first."""
        first, second = (
            self._command(name, self.releases[place])
            for name, place in zip(names, releases, strict=True)
        )
        met = False

        def meanwhile() -> None:
            nonlocal met
            if not met:
                met = True
                with suppress(NightshelfError):
                    second()

        with crashing(at, meanwhile), suppress(NightshelfError):
            first()

    @rule()
    def wipe(self) -> None:
        """Redis loses everything."""
        store.wipe(self.settings)
        self.lost = True

    # What neither Redis nor the journal knows any more nobody can bring back.
    @precondition(lambda self: self.artifacts.journal.exists() and not self.lost)
    @rule(names=st.tuples(_names, _names), release=_releases, adopts=st.booleans(), fatal=_writes)
    def go_back_in_time(
        self, names: tuple[str, str], release: int, *, adopts: bool, fatal: int | None
    ) -> None:
        """The journal comes back from a backup: nothing is changed until reconcile made one history of two."""
        name, later = names
        shutil.rmtree(self.saved, ignore_errors=True)
        shutil.copytree(self.artifacts.journal, self.saved)
        self.serve(release)
        self.carry_out(name, release)
        shutil.rmtree(self.artifacts.journal)
        shutil.copytree(self.saved, self.artifacts.journal)
        if releases.run(self.artifacts, self.settings).another_history is None:
            return
        before = store.fields(self.settings)
        with pytest.raises(BrokenInput):
            restore.run(self.artifacts, self.settings)
        with suppress(NightshelfError):
            self._command(later, self.releases[release])()
        assert store.fields(self.settings) == before
        if fatal is not None:
            with crashing(fatal):
                self._reconcile(adopts=adopts)
        self._reconcile(adopts=adopts)
        assert releases.run(self.artifacts, self.settings).another_history is None

    def _reconcile(self, *, adopts: bool) -> None:
        adoption = Approval("ada", "a test")
        try:
            reconcile.run(self.artifacts, self.settings, adoption=adoption if adopts else None)
        except BrokenInput:
            # A command died before its entries were copied, so Redis does not hold them.
            reconcile.run(self.artifacts, self.settings, adoption=adoption)

    @precondition(lambda self: self.sent)
    @rule()
    def repeat(self) -> None:
        """The last message to the catalog arrives twice: the client library had its answer lost."""
        journal_id, transition, *arguments = self.sent[-1]
        with store.connected(self.settings) as cluster:
            own = Registry(cluster, self.settings.namespace, str(journal_id))
            own.change(str(transition), *arguments)

    @precondition(lambda self: self.lost or self.dead)
    @rule()
    def recover(self) -> None:
        """Restore brings back what the journal says, whatever died before; then a publish is not blocked."""
        store.end_leases(self.settings)
        outcome = restore.run(self.artifacts, self.settings)
        self.lost = self.dead = False
        assert outcome.release == self._pointer().live
        for release in self.releases:
            try:
                publish.run(self.artifacts.release(release), self.settings)
            except TryLater as error:
                raise AssertionError(f"{release} is blocked") from error
            except NightshelfError:
                assert self._digest(release) in self._bars_of_the_journal()

    # ---- what must hold --------------------------------------------------------------------------------------

    @invariant()
    def what_is_served_is_whole(self) -> None:
        """Every value of what a reader may use is there, byte for byte."""
        pointer = self._pointer()
        for release in {pointer.live, pointer.previous, pointer.canary} - {None}:
            found = audit.run(self.artifacts, self.settings, release=release, sample=None)
            assert (found.differing, found.description) == (0, False), (release, found)

    @invariant()
    def the_generation_grows(self) -> None:
        """It is never lower than one seen before while there is a pointer, not even after a wipe."""
        pointer = self._pointer()
        if pointer.live is not None:
            assert pointer.generation >= self.greatest
            self.greatest = pointer.generation

    @invariant()
    def barred_lists_are_not_served(self) -> None:
        """What was once seen in quarantine is never live, previous or canary again."""
        raw = store.fields(self.settings)
        prefix = b"quarantine:"
        self.barred |= {
            name.removeprefix(prefix).decode() for name in raw if name.startswith(prefix)
        }
        pointer = self._pointer()
        for release in {pointer.live, pointer.canary} - {None}:
            assert self._digest(str(release)) not in self.barred, release

    def _pointer(self) -> Pointer:
        raw = {name.decode(): value.decode() for name, value in store.fields(self.settings).items()}
        return Pointer(
            raw.get("live"),
            raw.get("previous") or None,
            raw.get("canary") or None,
            int(raw.get("generation", 0)),
        )

    def _digest(self, release: str) -> str:
        manifest = json.loads(self.artifacts.release(release).manifest.read_text("utf-8"))
        return str(manifest["digest"])

    def _bars_of_the_journal(self) -> set[str]:
        entries = journal.read(self.artifacts.journal)
        return {entry["quarantined"] for entry in entries if entry.get("quarantined")}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """An artifacts folder with all releases, to be copied."""
    root = tmp_path / "written"
    for day, variant in _RELEASES:
        write_release(root, day, users=6, books=12, variant=variant)
    return root


def _search(settings: Settings, written: Path, examples: int, steps: int) -> None:
    sent: list[tuple[str | float, ...]] = []
    change = Registry.change

    def noted(self: Registry, transition: str, *arguments: str | float) -> Answer:
        sent.append((self.journal, transition, *arguments))
        return change(self, transition, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        # A load can die between any two commands, and everything else between two messages.
        patch.setattr(loading, "_PIPELINE", 1)
        patch.setattr(Registry, "change", noted)
        run_state_machine_as_test(
            lambda: Shelf(settings, written, sent),  # type: ignore[arg-type]  # a factory will do
            settings=bounds(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.fixture
def hasty(settings: Settings) -> Settings:
    """Settings by which `retire` spares nothing that it need not spare."""
    return replace(settings, artifacts=settings.artifacts / "artifacts", keep_releases=0)


def test_no_order_of_commands_breaks_a_promise(hasty: Settings, written: Path) -> None:
    """Live is whole, the generation grows, nothing readable goes, barred lists stay barred, the next one goes on."""
    _search(hasty, written, 8, 10)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_long_order_of_commands_breaks_a_promise(hasty: Settings, written: Path) -> None:
    """The same in more and longer orders."""
    _search(hasty, written, 120, 25)
