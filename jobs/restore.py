"""Restore: an empty cluster made whole from the journal and the release files.

In: the journal and the release folders under the artifacts. Out: the same live and previous release in Redis, a higher
generation, the same quarantine. Guarantees that files are compared with the manifest before they are loaded,
that every value is read back before the pointer is set, and that what was quarantined stays so.
"""

import json
from dataclasses import dataclass

from jobs import publish
from jobs.release import journal, manifest
from jobs.release.folder import Artifacts
from jobs.runtime.errors import BrokenInput, TryLater
from jobs.runtime.settings import Settings
from jobs.store import journal_copy
from jobs.store.catalog import Catalog
from jobs.store.cluster import connected


@dataclass(frozen=True)
class Outcome:
    """What is live and previous now; `restored` is false when there was nothing to do."""

    release: str | None
    previous: str | None
    generation: int
    quarantined: int
    restored: bool


def run(artifacts: Artifacts, settings: Settings) -> Outcome:
    """Bring an empty catalog back to what the journal says.

    Raises BrokenInput when a file that is needed is missing or has changed; TryLater when Redis is in the way.
    """
    history = journal.fold(journal.read(artifacts.journal))
    with connected(settings) as cluster:
        catalog = Catalog(cluster, settings.namespace)
        standing = catalog.read()
        for digest, entry in history.quarantine.items():
            if digest not in standing.quarantine:
                catalog.change("quarantine", digest, json.dumps(entry))
        journal_copy.bring_up_to_date(cluster, settings.namespace, artifacts.journal)
        if standing.pointer is not None or history.live is None:
            live = standing.pointer.live if standing.pointer else None
            previous = standing.pointer.previous if standing.pointer else None
            return Outcome(
                live, previous, standing.generation, len(history.quarantine), restored=False
            )
        described = {
            release: manifest.check(artifacts.release(release))
            for release in (history.live, history.previous)
            if release is not None
        }
        for release, content in described.items():
            publish.load(
                cluster, artifacts.release(release), content, settings, rate=settings.load_rate
            )
        entry = journal.append(
            artifacts.journal,
            journal.RESTORE,
            who=settings.run_by,
            why="the catalog was empty",
            to=history.live,
            previous=history.previous,
            generation=history.generation + 1,
        )
        answer = catalog.change(
            "restore", history.live, history.previous or "", history.generation + 1
        )
        result = "ok" if answer.ok else " ".join((answer.word, *answer.details))
        journal.append(artifacts.journal, journal.OUTCOME, of=entry["seq"], result=result)
        journal_copy.bring_up_to_date(cluster, settings.namespace, artifacts.journal)
        if answer.word == "quarantined":
            raise BrokenInput(
                f"the live release {answer.details[0]} of the journal is quarantined",
                str(artifacts.journal),
                "activate another release",
            )
        if not answer.ok:
            raise TryLater(
                f"somebody else activated a release meanwhile ({answer.word})",
                "the catalog",
                "look at `nightshelf releases`",
            )
        return Outcome(
            history.live,
            history.previous,
            int(answer.details[0]),
            len(history.quarantine),
            restored=True,
        )
