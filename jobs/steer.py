"""Steer a canary: a second release for a share of the users.

In: a verified release and a share. Out: two journal entries and one compare-and-set a change. Guarantees that the
canary is verified, approved and not quarantined, and that promoting it is an activation like any other.
"""

from dataclasses import dataclass, field

from jobs import activate
from jobs.activate import Approval
from jobs.release import journal
from jobs.release.folder import Artifacts
from jobs.runtime.errors import GateRefused, WrongUsage
from jobs.runtime.settings import Settings
from jobs.store import changes, refusals
from jobs.store.catalog import Answer
from jobs.store.changes import Standing, Store
from jobs.store.completeness import BY_TOTALS, Check, Completeness, ensure


@dataclass(frozen=True)
class Outcome:
    """The canary and its share after the change, None and 0 when there is none.

    The last three are as in jobs.activate.Outcome.
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
) -> Outcome:
    """Give `share` (above 0, at most 1) of the users the lists of `release`; again with another share to change it.

    Raises what `nightshelf activate` raises for a release that may not be served; WrongUsage for a share out of range,
    and for a release that is live.
    """
    if not 0 < share <= 1:
        raise WrongUsage(f"a share of {share} is none", "--share", "give more than 0 and at most 1")
    with changes.opened(artifacts, settings) as store:
        standing = changes.settled(store)
        changes.require_whole(standing)
        pointer = standing.content.pointer
        if pointer is None:
            raise WrongUsage("no release is live", "the catalog", "activate one first")
        if pointer.live == release:
            raise WrongUsage(f"{release} is live", "--release", "a canary is another release")
        try:
            activate.require_fit(standing, release)
            activate.require_approved(
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
        return Outcome(release, share, done.generation, None, done.confirmed, done.copied, found)


def stop(
    artifacts: Artifacts, settings: Settings, *, by: str, reason: str, quarantine: bool = False
) -> Outcome:
    """End the canary; with `quarantine` bar its lists for good.

    Raises WrongUsage when there is none, and when the live release has the lists that are to be barred.
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
        barred = digest if quarantine else None
        return Outcome(None, 0.0, done.generation, barred, done.confirmed, done.copied)


def promote(
    artifacts: Artifacts,
    settings: Settings,
    *,
    by: str,
    reason: str,
    check: Check = BY_TOTALS,
    today: str | None = None,
) -> activate.Outcome:
    """Make the canary the live release. Raises WrongUsage when there is none, and what `nightshelf activate` raises."""
    with changes.opened(artifacts, settings) as store:
        standing, canary = _canary(store)
        return activate.move(
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
    changes.require_whole(standing)
    pointer = standing.content.pointer
    if pointer is None or pointer.canary is None:
        raise WrongUsage(
            "there is no canary", "the catalog", "start one with `nightshelf canary start`"
        )
    return standing, pointer.canary
