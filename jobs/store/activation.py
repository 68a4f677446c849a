"""Activation: the live pointer moves to a verified release.

In: an opened store, a release that publish verified, and its decision. Out: two journal entries and one compare-and-set
in Redis. Guarantees that an unverified, altered, stopped, quarantined or unapproved release does not go live, and an
older partition over a newer one only when forced (tests/jobs/pipeline/test_activate.py).
"""

from dataclasses import dataclass, field
from typing import Any

from jobs.release import decision, manifest
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import GateRefused, NightshelfError, NothingToDo, WrongUsage
from jobs.store import changes, encoding, refusals
from jobs.store.changes import Standing, Store
from jobs.store.completeness import BY_TOTALS, Check, Completeness, ensure
from jobs.store.registry import Answer
from schemas.manifest import partition_of

#: The verdict on a verified release whose files are gone: it was go or hold, else it would not have been loaded.
_NO_DECISION: dict[str, Any] = {
    "verdict": "hold",
    "reasons": [{"text": "its decision.json is gone"}],
}


@dataclass(frozen=True)
class Approval:
    """A person's word that a doubtful release may go live."""

    by: str
    reason: str

    @classmethod
    def of(cls, by: str | None, reason: str | None) -> "Approval | None":
        """Return the approval of a command line, None if neither is given. Raises WrongUsage if one is missing."""
        if bool(by) != bool(reason):
            raise WrongUsage(
                "an approval needs both a person and a reason",
                "command line",
                "give both, or neither",
            )
        return cls(by, reason) if by and reason else None


@dataclass(frozen=True)
class ActivateResult:
    """What is live now.

    `first_on_hold` says that a doubtful release went live because there was none before; `confirmed_by_redis_replica`
    is None where there is no Redis replica; `journal_copied` is false when Redis had no room for the journal's copy;
    `completeness` says what the release lacked before the pointer moved.
    """

    release: str
    previous: str | None
    generation: int
    verdict: str
    already_live: bool = False
    first_on_hold: bool = False
    approved_by: str | None = None
    confirmed_by_redis_replica: bool | None = None
    journal_copied: bool = True
    completeness: Completeness = field(default_factory=Completeness)


def move(
    store: Store,
    standing: Standing,
    release: str,
    approval: Approval | None,
    action: str,
    *,
    force: bool = False,
    check: Check = BY_TOTALS,
    today: str | None = None,
) -> ActivateResult:
    """Point to a release that is not live yet; raises as `run` does, after writing the refusal down."""
    who = approval.by if approval else store.settings.run_by
    pointer = standing.content.pointer
    live = pointer.live if pointer else None
    first = live is None and not standing.history.activations
    try:
        require_fit(standing, release)
        if live is not None and _is_newer(live, release, today) and not force:
            raise refusals.older(release, live)
        verdict = require_approved(
            store.artifacts, release, approval=approval, first=first, check=check
        )
    except (GateRefused, NothingToDo) as error:
        changes.refuse(store, error, who=who, release=release)
    found = ensure(store, standing.content, release, check, who=who)
    described = _described(store, standing, release, check)
    done = changes.change(
        store,
        standing,
        action,
        "activate",
        *(release, int(force), today or ""),
        entry={
            "who": who,
            "why": approval.reason if approval else f"verdict {verdict}",
            "from": live,
            "to": release,
            "digest": described["digest"],
            "partition": described["partition"],
            "forced": force,
            "approved_by": approval.by if approval else None,
            "verdict": verdict,
            "canary_ended": pointer.canary if pointer else None,
            **found.for_journal,
        },
    )
    if isinstance(done, Answer):
        return _second(store, standing, release, done)
    return ActivateResult(
        release=release,
        previous=live,
        generation=done.generation,
        verdict=verdict,
        first_on_hold=first and verdict == "hold" and approval is None,
        approved_by=approval.by if approval else None,
        confirmed_by_redis_replica=done.confirmed,
        journal_copied=done.copied,
        completeness=found,
    )


def _described(store: Store, standing: Standing, release: str, check: Check) -> dict[str, Any]:
    """Return the digest and partition of a release: of its files, or of the registry where these may be gone."""
    folder = store.artifacts.release(release)
    gone = not all(path.is_file() for path in (folder.manifest, *encoding.files(folder)))
    if check.incomplete_ok and gone:
        return standing.content.releases[release]
    return manifest.check(folder)


def _is_newer(live: str, release: str, today: str | None) -> bool:
    """Say whether `live` is of a later partition that has begun: one from the future blocks no day."""
    partition = partition_of(live)
    return partition > partition_of(release) and (today is None or partition <= today)


def already(store: Store, release: str, standing: Standing) -> ActivateResult:
    """Return the outcome for a release that is live."""
    pointer = standing.content.pointer
    return ActivateResult(
        release=release,
        previous=pointer.previous if pointer else None,
        generation=standing.content.generation,
        verdict=str(decision.read(store.artifacts.release(release))["verdict"]),
        already_live=True,
    )


def require_fit(standing: Standing, release: str) -> None:
    """Raise GateRefused unless the release is verified and not quarantined."""
    why = standing.content.unfit(release)
    if why is not None:
        raise refusals.unfit(why, release, standing.content)


def require_approved(
    artifacts: Artifacts,
    release: str,
    *,
    approval: Approval | None,
    first: bool = False,
    check: Check = BY_TOTALS,
) -> str:
    """Return the verdict on a release if it may be served; with `incomplete_ok` one whose files are gone is on hold.

    Raises GateRefused when it is stop, or hold without an approval, unless it is the `first` release of all.
    """
    folder = artifacts.release(release)
    gone = check.incomplete_ok and not folder.decision.exists()
    found = _NO_DECISION if gone else decision.read(folder)
    verdict = str(found["verdict"])
    if verdict == "go" or (verdict == "hold" and (approval is not None or first)):
        return verdict
    raise GateRefused(
        f"the verdict on this release is {verdict}: {decision.as_text(found)}",
        f"release {release}",
        "look at its report; to let it go live give --approved-by and --reason"
        if verdict == "hold"
        else "the live release stays",
    )


def _second(store: Store, before: Standing, release: str, refused: Answer) -> ActivateResult:
    """Another command was quicker: perhaps with the very same thing."""
    now = Standing(store.registry.read(), before.history)
    if now.content.pointer is not None and now.content.pointer.live == release:
        return already(store, release, now)
    error: NightshelfError = refusals.problem(refused, release, before.content)
    raise error
