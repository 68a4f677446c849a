"""Activate: the live pointer moves to a verified release.

In: a release that publish verified, and its decision. Out: two journal entries and one compare-and-set in Redis.
Guarantees that the journal is on disk before Redis is asked, that an unverified, altered, stopped, quarantined or
unapproved release never goes live, and never an older partition over a newer one unless forced.
"""

from jobs.release import journal
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from jobs.store import changes
from jobs.store.activation import ActivateResult, Approval, already, move
from jobs.store.completeness import BY_TOTALS, Check


def run(
    artifacts: Artifacts,
    release: str,
    settings: Settings,
    *,
    approval: Approval | None = None,
    force: bool = False,
    check: Check = BY_TOTALS,
    today: str | None = None,
) -> ActivateResult:
    """Make a verified release live; a live one of a day after `today` does not count as newer, None asks no clock.

    Raises GateRefused when it is not verified, was stopped, is quarantined, or is on hold without approval;
    BrokenInput when its files are not those of its manifest, or it lacks values and cannot be repaired; NothingToDo
    when a newer partition is live and `force` is not given; TryLater when Redis cannot be reached, has lost changes,
    or another command was quicker.
    """
    artifacts.release(release)
    with changes.opened(artifacts, settings) as store:
        standing = changes.settled(store)
        if not force:
            changes.require_complete(standing)
        pointer = standing.content.pointer
        if pointer is not None and pointer.live == release:
            return already(store, release, standing)
        return move(
            store,
            standing,
            release,
            approval,
            journal.ACTIVATE,
            force=force,
            check=check,
            today=today,
        )
