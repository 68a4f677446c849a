"""Rollback: the live pointer moves back, and what it leaves is quarantined.

In: a verified release (by default the previous one), who and why. Out: two journal entries and one compare-and-set.
Guarantees that the lists rolled back from are quarantined by their digest in the same script call, so they never
come back, not under another release id and not after Redis was wiped. Needs no file of a release that is complete.
"""

from dataclasses import dataclass

from jobs.release import journal
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import GateRefused, WrongUsage
from jobs.runtime.settings import Settings
from jobs.store import changes, refusals
from jobs.store.activation import require_fit
from jobs.store.changes import Standing, Store
from jobs.store.completeness import BY_TOTALS, Check, Completeness, ensure
from jobs.store.registry import Answer, Content


@dataclass(frozen=True)
class RollbackResult:
    """What is live now and what was quarantined; the last three as in jobs.store.activation.ActivateResult."""

    release: str
    left: str
    quarantined_digest: str
    generation: int
    confirmed_by_redis_replica: bool | None
    journal_copied: bool
    completeness: Completeness


def run(
    artifacts: Artifacts,
    settings: Settings,
    *,
    to: str | None,
    by: str,
    reason: str,
    check: Check = BY_TOTALS,
) -> RollbackResult:
    """Go back to `to`, or to the previous release for None.

    Raises WrongUsage when there is nothing to go back to, with the releases that are loaded; GateRefused when the
    target is not verified or is quarantined; BrokenInput when it lacks values and cannot be repaired; TryLater when
    Redis is in the way, has lost changes, or the pointer moved meanwhile.
    """
    with changes.opened(artifacts, settings) as store:
        standing = changes.settled(store)
        changes.require_complete(standing)
        left, target = _ends(standing.content, to)
        try:
            require_fit(standing, target)
        except GateRefused as error:
            changes.refuse(store, error, who=by, release=target)
        found = ensure(store, standing.content, target, check, who=by)
        return _roll(store, standing, left, target, {"who": by, "why": reason}, found=found)


def _roll(
    store: Store,
    standing: Standing,
    left: str,
    target: str,
    why: dict[str, str],
    *,
    found: Completeness,
) -> RollbackResult:
    releases = standing.content.releases
    digest = releases[left]["digest"]
    done = changes.change(
        store,
        standing,
        journal.ROLLBACK,
        "rollback",
        target,
        entry={
            **why,
            "from": left,
            "to": target,
            "digest": releases[target]["digest"],
            "partition": releases[target]["partition"],
            "quarantined": digest,
            **found.for_journal,
        },
        with_entry=True,
    )
    if isinstance(done, Answer):
        raise refusals.problem(done, target, standing.content)
    return RollbackResult(target, left, digest, done.generation, done.confirmed, done.copied, found)


def _ends(before: Content, to: str | None) -> tuple[str, str]:
    loaded = ", ".join(before.verified) or "none"
    if before.pointer is None:
        raise WrongUsage(
            "no release is live", "the release registry", "activate one, or run `restore`"
        )
    target = to or before.pointer.previous
    if target is None:
        raise WrongUsage(
            "there is no previous release",
            "the release registry",
            f"name one with --to; loaded are: {loaded}",
        )
    if target == before.pointer.live:
        raise WrongUsage(
            f"{target} is live already", "--to", f"name another release; loaded are: {loaded}"
        )
    if target not in before.releases:
        raise WrongUsage(f"{target} is not loaded", "--to", f"loaded are: {loaded}")
    return before.pointer.live, target
