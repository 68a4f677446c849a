"""Completeness: before the pointer moves to a release, it has all that was verified.

In: an open store, the release registry's content, a release. Out: what was missing, repaired where its files are
there. A release that is complete costs one count and needs no file.
"""

from dataclasses import dataclass
from typing import Any

from jobs.runtime.errors import BrokenInput, GateRefused, NightshelfError, TryLater
from jobs.store import totals
from jobs.store.changes import Store, refuse
from jobs.store.cluster import TROUBLES
from jobs.store.registry import Content
from jobs.store.repair import repair
from jobs.store.totals import Gap


@dataclass(frozen=True)
class Check:
    """What is asked of a release: `full` compares every value with its files, `incomplete_ok` lets it lack values."""

    full: bool = False
    incomplete_ok: bool = False


BY_TOTALS = Check()


@dataclass(frozen=True)
class Completeness:
    """What came of it. `missing_values` is None where it could not be counted; `users_falling_back` at most."""

    repaired_values: int = 0
    missing_keys: int = 0
    missing_values: int | None = 0
    users_falling_back: int = 0

    @property
    def for_journal(self) -> dict[str, Any]:
        """What the journal keeps of it: nothing where nothing is missing."""
        if self.missing_values == 0 and not self.missing_keys:
            return {}
        return {
            "missing_values": self.missing_values,
            "users_falling_back": self.users_falling_back,
        }


def ensure(store: Store, content: Content, release: str, check: Check, *, who: str) -> Completeness:
    """Return how complete a verified release is after what is missing was loaded again.

    Raises, after writing the refusal down, BrokenInput when values are missing and the files that have them too, or
    when loading them would push out other lists; not with `incomplete_ok`. Raises TryLater when it cannot
    be counted.
    """
    gap = _gap(store, content, release, check)
    if gap is None:
        return Completeness(missing_values=None)
    if not check.full and (gap.complete or check.incomplete_ok):
        return _left(gap)
    try:
        return Completeness(repaired_values=repair(store, release).values)
    except (BrokenInput, GateRefused) as error:
        if check.incomplete_ok:
            return _left(gap)
        refuse(store, _refusal(error, release, gap), who=who, release=release)


def _gap(store: Store, content: Content, release: str, check: Check) -> Gap | None:
    try:
        return totals.gap(store.cluster, store.namespace, release, content.releases[release])
    except TROUBLES as error:
        if check.incomplete_ok:
            return None
        raise TryLater(
            f"it cannot be counted whether this release is complete: {error}",
            f"release {release}",
            "run this step again when all of Redis answers; --incomplete-ok moves the pointer without counting",
        ) from error


def _left(gap: Gap) -> Completeness:
    if gap.complete:
        return Completeness()
    return Completeness(0, gap.keys, gap.values, gap.users)


def _refusal(error: NightshelfError, release: str, gap: Gap) -> NightshelfError:
    if gap.complete:
        return type(error)(
            f"the values of {release} cannot be compared or repaired: {error.what}",
            error.where,
            f"{error.do}; by its totals it is complete: without `--check full` the pointer moves",
        )
    return type(error)(
        f"{release} lacks in Redis {gap.text}, and they cannot be loaded again: {error.what}",
        error.where,
        f"{error.do}; --incomplete-ok moves the pointer anyway: up to {gap.users} users get a fallback",
    )
