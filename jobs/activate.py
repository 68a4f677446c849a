"""Activate: the live pointer moves to a verified release.

In: a release that publish verified, and its decision. Out: one journal entry and one compare-and-set in Redis.
Guarantees that the journal is on disk before Redis is told, that an unverified, stopped, quarantined or
unapproved release never goes live, and never an older partition over a newer one unless forced.
"""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from redis.cluster import RedisCluster

from jobs.release import journal
from jobs.release.folder import Artifacts, require
from jobs.runtime.errors import GateRefused, NightshelfError, NothingToDo, TryLater
from jobs.runtime.settings import Settings
from jobs.store import journal_copy
from jobs.store.catalog import Answer, Catalog, Content
from jobs.store.cluster import connected


@dataclass(frozen=True)
class Approval:
    """A person's word that a doubtful release may go live."""

    by: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What is live now; `first_on_hold` says that a doubtful release went live because there was none before."""

    release: str
    previous: str | None
    generation: int
    verdict: str
    already_live: bool = False
    first_on_hold: bool = False
    approved_by: str | None = None
    confirmed_by_redis_replica: bool = True


def run(
    artifacts: Artifacts,
    release: str,
    settings: Settings,
    *,
    approval: Approval | None = None,
    force: bool = False,
) -> Outcome:
    """Make a verified release live.

    Raises GateRefused when it is not verified, was stopped, is quarantined, or is on hold without approval;
    NothingToDo when a newer partition is live and `force` is not given; TryLater when Redis cannot be
    reached or another publisher was quicker.
    """
    decision = _decision(artifacts, release)
    with connected(settings) as cluster:
        catalog = Catalog(cluster, settings.namespace)
        before = catalog.read()
        live = before.pointer.live if before.pointer else None
        first = live is None and not journal.fold(journal.read(artifacts.journal)).activations
        _require_approved(artifacts, release, settings, decision, approval=approval, first=first)
        entry = journal.append(
            artifacts.journal,
            journal.ACTIVATE,
            who=approval.by if approval else settings.run_by,
            why=approval.reason if approval else f"verdict {decision['verdict']}",
            **{"from": live},
            to=release,
            generation=before.generation + 1,
            digest=before.releases.get(release, {}).get("digest"),
            forced=force,
        )
        answer = catalog.change("activate", release, before.generation, int(force))
        settle(cluster, artifacts, settings, entry, answer)
        if answer.word not in {"ok", "already"}:
            refuse(answer, release, before)
        return Outcome(
            release=release,
            previous=live,
            generation=int(answer.details[0]),
            verdict=decision["verdict"],
            already_live=answer.word == "already",
            first_on_hold=first and decision["verdict"] == "hold" and approval is None,
            approved_by=approval.by if approval else None,
            confirmed_by_redis_replica=catalog.confirm(),
        )


def require_approvable(
    artifacts: Artifacts, release: str, settings: Settings, approval: Approval
) -> None:
    """Raise GateRefused for a release that was stopped; what is on hold may be served with an approval."""
    decision = _decision(artifacts, release)
    _require_approved(artifacts, release, settings, decision, approval=approval, first=False)


def settle(
    cluster: RedisCluster,
    artifacts: Artifacts,
    settings: Settings,
    entry: dict[str, Any],
    answer: Answer,
) -> None:
    """Write down how the transition of `entry` ended, and copy the journal to Redis."""
    result = "ok" if answer.ok else " ".join((answer.word, *answer.details))
    journal.append(artifacts.journal, journal.OUTCOME, of=entry["seq"], result=result)
    journal_copy.bring_up_to_date(cluster, settings.namespace, artifacts.journal)


def refuse(answer: Answer, release: str, before: Content) -> NoReturn:
    """Raise what a refused pointer change means to the person who asked for it."""
    detail = answer.details[0] if answer.details else ""
    where = f"release {release}"
    problems: dict[str, NightshelfError] = {
        "unverified": GateRefused(
            f"this release was never verified (it is {detail})",
            where,
            f"run `nightshelf publish --release {release}` first; loaded are: "
            + (", ".join(sorted(before.releases)) or "none"),
        ),
        "quarantined": GateRefused(
            "the lists of this release are quarantined", f"{where}: {detail}", "train a new release"
        ),
        "older": NothingToDo(
            f"not newer than the live release {detail}", where, "give --force to go back in time"
        ),
        "generation": TryLater(
            f"another publisher was quicker: the generation is {detail}, not {before.generation}",
            where,
            "look at `nightshelf releases`, then run the step again",
        ),
        "same_lists": GateRefused(
            "the live release has the very same lists", where, "name another release"
        ),
    }
    raise problems[answer.word]


def _decision(artifacts: Artifacts, release: str) -> dict[str, Any]:
    folder = artifacts.release(release)
    decision: dict[str, Any] = json.loads(require(folder.decision, "evaluate").read_text("utf-8"))
    return decision


def _require_approved(
    artifacts: Artifacts,
    release: str,
    settings: Settings,
    decision: dict[str, Any],
    *,
    approval: Approval | None,
    first: bool,
) -> None:
    verdict = decision["verdict"]
    if verdict == "go" or (verdict == "hold" and (approval is not None or first)):
        return
    reasons = "; ".join(reason["text"] for reason in decision["reasons"])
    journal.append(
        artifacts.journal,
        journal.REFUSAL,
        who=settings.run_by,
        why=f"verdict {verdict}: {reasons}",
        to=release,
    )
    raise GateRefused(
        f"the verdict on this release is {verdict}: {reasons}",
        f"release {release}",
        "the live release stays"
        if verdict == "stop"
        else "look at its report; to let it go live give --approved-by and --reason",
    )
