"""Commands of the store, each in a process of its own that may be killed at any moment or at a chosen write.

In: settings and what the command takes. Out: an `Ended`: when it was called and when it had ended, on the clock of the
machine, and its outcome or what it said. Guarantees that a killed one is really gone: SIGKILL, nothing is cleaned up.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from jobs.operations import audit, canary, reconcile, restore, rollback
from jobs.pipeline import activate, publish, retire
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import NightshelfError
from jobs.runtime.settings import Settings
from jobs.store import activation
from tests.harness.crashes import crashing
from tests.harness.releases import LENGTH, write_release

_DEADLINE_S = 120.0
#: Imports take seconds: one process does them, and each command is a fork of that one.
_CONTEXT = multiprocessing.get_context("forkserver")
# pyarrow imports pandas at its first list: a second in each command.
_CONTEXT.set_forkserver_preload(["pandas", "tests.faults.steps"])


@dataclass(frozen=True)
class Ended:
    """How a command ended: with an outcome, or with what it said; `advice` where it told what to do about it."""

    begun_at: float
    done_at: float
    outcome: Any = None
    text: str = ""
    advice: bool = False
    killed: bool = False

    @property
    def well(self) -> bool:
        """Whether it did what it was asked for."""
        return not self.text and not self.killed


def write(
    settings: Settings, partition: str, variant: int, users: int, length: int = LENGTH
) -> str:
    """Write a release that passed everything and return its id."""
    return write_release(
        settings.artifacts, partition, users=users, books=200, variant=variant, length=length
    ).release


def load(settings: Settings, release: str, rate: int = 0) -> publish.PublishResult:
    """Publish a release."""
    return publish.run(Artifacts(settings.artifacts).release(release), settings, rate=rate)


def go_live(settings: Settings, release: str) -> activation.ActivateResult:
    """Activate a release."""
    return activate.run(Artifacts(settings.artifacts), release, settings)


def go_back(settings: Settings) -> rollback.RollbackResult:
    """Roll back to the previous release."""
    artifacts = Artifacts(settings.artifacts)
    return rollback.run(artifacts, settings, to=None, by="chaos", reason="a fault campaign")


def try_out(settings: Settings, release: str) -> canary.CanaryResult:
    """Serve a release to half of the users."""
    artifacts = Artifacts(settings.artifacts)
    return canary.start(
        artifacts, settings, release=release, share=0.5, by="chaos", reason="a fault campaign"
    )


def promote(settings: Settings) -> activation.ActivateResult:
    """Make the canary the live release."""
    artifacts = Artifacts(settings.artifacts)
    return canary.promote(artifacts, settings, by="chaos", reason="a fault campaign")


def take_history(settings: Settings) -> reconcile.ReconcileResult:
    """Take the history that Redis holds."""
    return reconcile.run(Artifacts(settings.artifacts), settings)


def mend(settings: Settings) -> restore.RestoreResult:
    """Restore."""
    return restore.run(Artifacts(settings.artifacts), settings)


def make_room(settings: Settings) -> retire.RetireResult:
    """Retire."""
    return retire.run(settings)


def compare(settings: Settings, release: str | None = None) -> audit.AuditResult:
    """Audit every value of a release, for None of the live one."""
    return audit.run(Artifacts(settings.artifacts), settings, release=release, sample=None)


class Step:
    """A running command."""

    def __init__(
        self, command: Callable[..., Any], *given: Any, fatal_write: int | None = None
    ) -> None:
        """Start it; with `fatal_write` it kills itself before that write."""
        self._answer, end = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_carry_out, args=(end, command, given, fatal_write))
        self.begun_at = time.monotonic()
        self._process.start()
        end.close()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def ended(self, deadline_s: float = _DEADLINE_S) -> Ended:
        """Wait for its end; one that takes too long is killed."""
        text: tuple[Any, str, bool] | None = None
        if self._answer.poll(deadline_s):
            try:
                text = self._answer.recv()
            except EOFError:
                text = None
        else:
            self.kill()
        self._process.join()
        done_at = time.monotonic()
        self._answer.close()
        if text is None:
            return Ended(self.begun_at, done_at, killed=True)
        return Ended(self.begun_at, done_at, *text)


def carry_out(command: Callable[..., Any], *given: Any) -> Ended:
    """Run a command to its end."""
    return Step(command, *given).ended()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _carry_out(
    end: Connection, command: Callable[..., Any], given: tuple[Any, ...], fatal: int | None
) -> None:
    # Progress of commands by the hundred is of no use to anybody.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    with crashing(fatal, _die) if fatal is not None else nullcontext():
        try:
            answer: tuple[Any, str, bool] = (command(*given), "", False)
        except NightshelfError as error:
            answer = (None, f"{type(error).__name__}: {error}", True)
        except Exception as error:  # noqa: BLE001  # told by the campaign as a defect
            answer = (None, repr(error), False)
    end.send(answer)
