"""Steer a canary: a second release for a share of the users.

In: a verified release and a share. Out: two journal entries and one compare-and-set a change. Guarantees that the
canary is verified, approved and not quarantined, and that promoting it is an activation like any other.
"""

from dataclasses import dataclass, field

from jobs.release import journal
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import GateRefused, WrongUsage
from jobs.runtime.settings import Settings
from jobs.store import activation, changes, refusals
from jobs.store.activation import Approval
from jobs.store.changes import Standing, Store
from jobs.store.completeness import BY_TOTALS, Check, Completeness, ensure
from jobs.store.registry import Answer


@dataclass(frozen=True)
class CanaryResult:
    """The canary and its share after the change, None and 0 when there is none.

    The last three are as in jobs.store.activation.ActivateResult.
    """

    canary: str | None
    share: float
    generation: int
    quarantined_digest: str | None = None
    confirmed_by_redis_replica: bool | None = None
    journal_copied: bool = True
    completeness: Completeness = field(default_factory=Completeness)


def start(
    artifacts: Artifacts,
    settings: Settings,
    *,
    release: str,
    share: float,
    by: str,
    reason: str,
    check: Check = BY_TOTALS,
) -> CanaryResult:
    """Give `share` (above 0, at most 1) of the users the lists of `release`; again with another share to change it.

    Raises what `nightshelf activate` raises for a release that may not be served; WrongUsage for a share out of range,
    and for a release that is live.
    """
    if not 0 < share <= 1:
        raise WrongUsage(f"a share of {share} is none", "--share", "give more than 0 and at most 1")
    with changes.opened(artifacts, settings) as store:
        standing = changes.settled(store)
        changes.require_complete(standing)
        pointer = standing.content.pointer
        if pointer is None:
            raise WrongUsage("no release is live", "the release registry", "activate one first")
        if pointer.live == release:
            raise WrongUsage(f"{release} is live", "--release", "a canary is another release")
        try:
            activation.require_fit(standing, release)
            activation.require_approved(
                artifacts, release, approval=Approval(by, reason), check=check
            )
        except GateRefused as error:
            changes.refuse(store, error, who=by, release=release)
        found = ensure(store, standing.content, release, check, who=by)
        done = changes.change(
            store,
            standing,
            journal.CANARY_START,
            "start_canary",
            *(release, share),
            entry={
                "who": by,
                "why": reason,
                "from": pointer.canary,
                "to": release,
                "digest": standing.content.releases[release]["digest"],
                "share": share,
                **found.for_journal,
            },
        )
        if isinstance(done, Answer):
            raise refusals.problem(done, release, standing.content)
        return CanaryResult(
            release, share, done.generation, None, done.confirmed, done.copied, found
        )


def stop(
    artifacts: Artifacts, settings: Settings, *, by: str, reason: str, quarantine: bool = False
) -> CanaryResult:
    """End the canary; with `quarantine` quarantine its lists.

    Raises WrongUsage when there is none, and when the live release has the lists that are to be quarantined.
    """
    with changes.opened(artifacts, settings) as store:
        standing, canary = _canary(store)
        digest = standing.content.releases[canary]["digest"]
        done = changes.change(
            store,
            standing,
            journal.CANARY_STOP,
            "stop_canary",
            *(() if quarantine else ("",)),
            entry={
                "who": by,
                "why": reason,
                "from": canary,
                "quarantined": digest if quarantine else None,
            },
            with_entry=quarantine,
        )
        if isinstance(done, Answer):
            raise refusals.problem(done, canary, standing.content)
        quarantined = digest if quarantine else None
        return CanaryResult(None, 0.0, done.generation, quarantined, done.confirmed, done.copied)


def promote(
    artifacts: Artifacts,
    settings: Settings,
    *,
    by: str,
    reason: str,
    check: Check = BY_TOTALS,
    today: str | None = None,
) -> activation.ActivateResult:
    """Make the canary the live release. Raises WrongUsage when there is none, and what `nightshelf activate` raises."""
    with changes.opened(artifacts, settings) as store:
        standing, canary = _canary(store)
        return activation.move(
            store,
            standing,
            canary,
            Approval(by, reason),
            journal.CANARY_PROMOTE,
            check=check,
            today=today,
        )


def _canary(store: Store) -> tuple[Standing, str]:
    standing = changes.settled(store)
    changes.require_complete(standing)
    pointer = standing.content.pointer
    if pointer is None or pointer.canary is None:
        raise WrongUsage(
            "there is no canary", "the release registry", "start one with `nightshelf canary start`"
        )
    return standing, pointer.canary
