"""Steer a canary: a second release for a share of the users.

In: a verified release and a share. Out: one journal entry and one compare-and-set a change. Guarantees that the
canary is verified and not quarantined, that stopping it bars its lists, and that promoting it is an
activation like any other.
"""

import json
from dataclasses import dataclass

from jobs import activate
from jobs.release import journal
from jobs.release.folder import Artifacts
from jobs.runtime.errors import WrongUsage
from jobs.runtime.settings import Settings
from jobs.store.catalog import Catalog
from jobs.store.cluster import connected


@dataclass(frozen=True)
class Outcome:
    """The canary and its share after the change; None and 0 when there is none."""

    canary: str | None
    share: float
    generation: int


def start(
    artifacts: Artifacts, settings: Settings, *, release: str, share: float, by: str, reason: str
) -> Outcome:
    """Give `share` (above 0, at most 1) of the users the lists of `release`; again with another share to change it.

    Raises what `nightshelf activate` raises for a release that may not be served.
    """
    if not 0 < share <= 1:
        raise WrongUsage(f"a share of {share} is none", "--share", "give more than 0 and at most 1")
    activate.require_approvable(artifacts, release, settings, activate.Approval(by, reason))
    with connected(settings) as cluster:
        catalog = Catalog(cluster, settings.namespace)
        before = catalog.read()
        if before.pointer is None:
            raise WrongUsage("no release is live", "the catalog", "activate one first")
        entry = journal.append(
            artifacts.journal,
            journal.CANARY_START,
            who=by,
            why=reason,
            to=release,
            share=share,
            generation=before.generation + 1,
        )
        answer = catalog.change("canary", release, before.generation, share)
        activate.settle(cluster, artifacts, settings, entry, answer)
        if answer.word == "already":
            raise WrongUsage(f"{release} is live", "--release", "a canary is another release")
        if not answer.ok:
            activate.refuse(answer, release, before)
        return Outcome(release, share, int(answer.details[0]))


def stop(artifacts: Artifacts, settings: Settings, *, by: str, reason: str) -> Outcome:
    """End the canary and bar its lists. Raises WrongUsage when there is none."""
    with connected(settings) as cluster:
        catalog = Catalog(cluster, settings.namespace)
        before = catalog.read()
        canary = _canary(before.pointer.canary if before.pointer else None)
        entry = journal.append(
            artifacts.journal,
            journal.CANARY_STOP,
            who=by,
            why=reason,
            **{"from": canary},
            generation=before.generation + 1,
        )
        answer = catalog.change("canary", "", before.generation, 0)
        activate.settle(cluster, artifacts, settings, entry, answer)
        if not answer.ok:
            activate.refuse(answer, canary, before)
        digest = before.releases[canary]["digest"]
        barred = journal.append(
            artifacts.journal, journal.QUARANTINE, who=by, why=reason, release=canary, digest=digest
        )
        catalog.change("quarantine", digest, json.dumps(barred))
        return Outcome(None, 0.0, int(answer.details[0]))


def promote(artifacts: Artifacts, settings: Settings, *, by: str, reason: str) -> activate.Outcome:
    """Make the canary the live release. Raises WrongUsage when there is none."""
    with connected(settings) as cluster:
        pointer = Catalog(cluster, settings.namespace).read().pointer
    canary = _canary(pointer.canary if pointer else None)
    return activate.run(artifacts, canary, settings, approval=activate.Approval(by, reason))


def _canary(canary: str | None) -> str:
    if canary is None:
        raise WrongUsage(
            "there is no canary", "the catalog", "start one with `nightshelf canary start`"
        )
    return canary
