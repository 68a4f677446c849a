"""Rollback: the live pointer moves back, and what it leaves is barred.

In: a verified release (by default the previous one), who and why. Out: one journal entry and one compare-and-set.
Guarantees that the lists rolled back from are quarantined by their digest in the same script call, so they never
come back, not under another release id and not after Redis was wiped.
"""

import json
from dataclasses import dataclass

from jobs.activate import refuse, settle
from jobs.release import journal
from jobs.release.folder import Artifacts
from jobs.runtime.errors import WrongUsage
from jobs.runtime.settings import Settings
from jobs.store.catalog import VERIFIED, Catalog, Content
from jobs.store.cluster import connected


@dataclass(frozen=True)
class Outcome:
    """What is live now and what was quarantined."""

    release: str
    left: str
    quarantined_digest: str
    generation: int
    confirmed_by_redis_replica: bool


def run(
    artifacts: Artifacts, settings: Settings, *, to: str | None, by: str, reason: str
) -> Outcome:
    """Go back to `to`, or to the previous release for None.

    Raises WrongUsage when there is nothing to go back to, with the releases that are loaded; GateRefused when the
    target is not verified or is quarantined; TryLater when Redis is in the way or the pointer moved meanwhile.
    """
    with connected(settings) as cluster:
        catalog = Catalog(cluster, settings.namespace)
        before = catalog.read()
        left, target = _ends(before, to)
        digest = before.releases[left]["digest"]
        entry = journal.append(
            artifacts.journal,
            journal.ROLLBACK,
            who=by,
            why=reason,
            **{"from": left},
            to=target,
            generation=before.generation + 1,
            digest=digest,
        )
        answer = catalog.change("rollback", target, before.generation, json.dumps(entry))
        settle(cluster, artifacts, settings, entry, answer)
        if not answer.ok:
            refuse(answer, target, before)
        return Outcome(target, left, digest, int(answer.details[0]), catalog.confirm())


def _ends(before: Content, to: str | None) -> tuple[str, str]:
    loaded = ", ".join(sorted(r for r, e in before.releases.items() if e["state"] == VERIFIED))
    if before.pointer is None:
        raise WrongUsage("no release is live", "the catalog", "activate one, or run `restore`")
    target = to or before.pointer.previous
    if target is None:
        raise WrongUsage(
            "there is no previous release",
            "the catalog",
            f"name one with --to; loaded are: {loaded}",
        )
    if target == before.pointer.live:
        raise WrongUsage(
            f"{target} is live already", "--to", f"name another release; loaded are: {loaded}"
        )
    if target not in before.releases:
        raise WrongUsage(f"{target} is not loaded", "--to", f"loaded are: {loaded}")
    return before.pointer.live, target
