"""List releases: what is live, previous, canary, loaded, quarantined, and how it came about.

In: the release registry in Redis and the durable journal. Out: their content as one mapping. Changes nothing.
"""

from dataclasses import dataclass
from typing import Any

from redis.cluster import RedisCluster

from jobs.release import history as past
from jobs.release import journal
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from jobs.store import histories, totals
from jobs.store.changes import Standing
from jobs.store.cluster import TROUBLES, connected
from jobs.store.registry import Content
from schemas.manifest import partition_of


@dataclass(frozen=True)
class ReleasesResult:
    """The release registry: `loaded` maps release ids to their states, `quarantined` digests of lists to the reason.

    `missing` says of each verified one how many keys, values and users' lists Redis has lost (values are None for a
    release that older code loaded; the mapping leaves out what could not be counted). `behind_journal` says that Redis
    has lost changes of the pointer, or that a command died in the middle of one; `journal_live` is the release that is
    live by the journal. `another_history` says why the store and the journal do not belong together, or is None;
    `live_from_future` says that the live one's partition has not begun.
    """

    generation: int
    live: str | None
    previous: str | None
    canary: str | None
    canary_share: float
    loaded: dict[str, str]
    missing: dict[str, dict[str, int | None]]
    quarantined: dict[str, str]
    behind_journal: bool
    journal_live: str | None
    another_history: str | None
    live_from_future: bool


def run(artifacts: Artifacts, settings: Settings, today: str | None = None) -> ReleasesResult:
    """Return what the release registry holds; `today` is the latest day that has begun.

    Raises TryLater when Redis cannot be reached.
    """
    with connected(settings) as cluster:
        compared = histories.compare(cluster, settings.namespace, artifacts.journal)
        content = compared.content
        missing = _missing(cluster, settings.namespace, content)
    past_state = past.fold(list(compared.entries.values()))
    pointer = content.pointer
    return ReleasesResult(
        generation=content.generation,
        live=pointer.live if pointer else None,
        previous=pointer.previous if pointer else None,
        canary=pointer.canary if pointer else None,
        canary_share=pointer.canary_share if pointer else 0.0,
        loaded={name: entry["state"] for name, entry in sorted(content.releases.items())},
        missing=missing,
        quarantined={digest: entry.get("why", "") for digest, entry in content.quarantine.items()},
        behind_journal=Standing(content, past_state).behind,
        journal_live=past_state.live,
        another_history=compared.problem,
        live_from_future=bool(pointer and today and partition_of(pointer.live) > today),
    )


def _missing(
    cluster: RedisCluster, namespace: str, content: Content
) -> dict[str, dict[str, int | None]]:
    found: dict[str, dict[str, int | None]] = {}
    for release in content.verified:
        try:
            gap = totals.gap(cluster, namespace, release, content.releases[release])
        except TROUBLES:
            # A shard is away: what the release registry says is reported all the same.
            break
        found[release] = {"keys": gap.keys, "values": gap.values, "users": gap.users}
    return found


def history(artifacts: Artifacts) -> list[dict[str, Any]]:
    """Return the journal's entries, oldest first; Redis is not asked."""
    return journal.read(artifacts.journal)


def as_text(entry: dict[str, Any]) -> str:
    """Return a journal entry as a line for people."""
    parts = [f"{entry['seq']:>5}", entry["at"], entry["action"]]
    if entry["action"] == journal.OUTCOME:
        return " ".join([*parts, f"of {entry['of']}:", entry["result"]])
    ends = {"from": entry.get("from"), "to": entry.get("to") or entry.get("release")}
    parts += [f"{name} {release}" for name, release in ends.items() if release]
    return " ".join([*parts, f"by {entry['who']}: {entry['why']}"])
