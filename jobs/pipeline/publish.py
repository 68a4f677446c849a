"""Publish: a complete, verified release in Redis, beside the live one.

In: the lists, the checks and the decision of a release. Out: `manifest.json` and a release that the release registry
calls verified. Guarantees that nothing that failed a gate is loaded, that the live release is not touched, that every
value was read back from primaries, compared byte for byte and confirmed by Redis replicas, where there are any, before
the release can be activated, and that a publish which died leaves nothing that blocks the next.
"""

from dataclasses import dataclass, replace

from jobs.release import decision, inputs, journal, manifest
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.errors import GateRefused, TryLater
from jobs.runtime.record import outcome_of, read_record, recorded
from jobs.runtime.settings import Settings
from jobs.store import changes, totals
from jobs.store.changes import Standing, Store
from jobs.store.placing import Placed, place
from jobs.validation import result


@dataclass(frozen=True)
class PublishResult:
    """What was loaded; `already_loaded` when the same release stood there verified. Times in seconds.

    `rewritten`, `repaired_values`, `warnings` and `confirmed_by_redis_replicas` as in jobs.store.placing.Placed.
    """

    release: str
    digest: str
    lists: int
    keys: int
    value_bytes: int
    already_loaded: bool
    rewritten: int = 0
    repaired_values: int = 0
    warnings: tuple[str, ...] = ()
    confirmed_by_redis_replicas: bool | None = None
    load_s: float = 0.0
    read_back_s: float = 0.0


def run(
    folder: ReleaseFolder,
    settings: Settings,
    *,
    rate: int | None = None,
    unsafe_store_ok: bool = False,
) -> PublishResult:
    """Load a release and read it back; `rate` values a second at most, by default that of the settings.

    A release that is loaded already gets what it has lost. Raises GateRefused for a release that a check or its
    verdict stopped or whose lists are quarantined; BrokenInput for missing or changed files, for an unfinished release
    of another LISTS_VERSION, and, without `unsafe_store_ok`, where Redis would throw out other lists; TryLater when
    Redis or another publisher is in the way.
    """
    artifacts = Artifacts(settings.artifacts)
    inputs.require_own(folder, finished_ok=True)
    try:
        _gates(folder, artifacts, settings)
        described = manifest.write(folder, settings.run_by)
        with changes.opened(artifacts, settings) as store:
            standing = changes.settled(store, begins=True)
            chosen = settings.load_rate if rate is None else rate
            return _publish(
                store, standing, folder, described, rate=chosen, protect=not unsafe_store_ok
            )
    except GateRefused as error:
        journal.append(
            artifacts.journal,
            journal.REFUSAL,
            who=settings.run_by,
            why=error.what,
            to=folder.release,
        )
        raise


def _publish(
    store: Store,
    standing: Standing,
    folder: ReleaseFolder,
    described: dict[str, str],
    *,
    rate: int,
    protect: bool,
) -> PublishResult:
    before = read_record(folder.records, "publish")
    loaded = standing.content.releases.get(folder.release, {})
    if (
        before is not None
        and standing.content.unfit(folder.release) is None
        and loaded["digest"] == before.get("digest") == described["digest"]
    ):
        past = outcome_of(
            folder.records,
            "publish",
            PublishResult,
            {**before, "already_loaded": True, "repaired_values": 0, "warnings": ()},
        )
        gap = totals.gap(store.cluster, store.namespace, folder.release, loaded)
        if gap.complete and "totals" in loaded:
            return past
        found = _outcome(folder.release, place(store, folder, described, protect=protect))
        return replace(found, load_s=past.load_s, read_back_s=past.read_back_s)
    with recorded("publish", folder.records, store.settings.run_by) as counts:
        placed = place(store, folder, described, rate=rate, protect=protect)
        outcome = _outcome(folder.release, placed)
        counts.update(vars(outcome))
    return outcome


def _outcome(release: str, placed: Placed) -> PublishResult:
    what = placed.what
    return PublishResult(
        release=release,
        digest=what.meta.digest,
        lists=what.lists,
        keys=len(what.hashes) + 1,
        value_bytes=what.value_bytes,
        already_loaded=placed.already,
        rewritten=placed.rewritten,
        repaired_values=placed.repaired_values,
        warnings=placed.warnings,
        confirmed_by_redis_replicas=placed.confirmed,
        load_s=placed.load_s,
        read_back_s=placed.read_back_s,
    )


def _gates(folder: ReleaseFolder, artifacts: Artifacts, settings: Settings) -> None:
    """Raise GateRefused unless all checks passed and the verdict is go or hold."""
    found = decision.read(folder)
    if found["verdict"] == decision.STOP:
        quarantined = _quarantine(folder, artifacts, settings)
        raise GateRefused(
            f"the verdict on this release is stop: {decision.as_text(found)}",
            str(folder.decision),
            f"look at the evaluation; the live release stays, {quarantined}",
        )
    result.require_passed(folder)


def _quarantine(folder: ReleaseFolder, artifacts: Artifacts, settings: Settings) -> str:
    """Quarantine the lists of a stopped release; say in words what came of it."""
    if not all(path.is_file() for path in (folder.lists, folder.popularity, folder.similar)):
        return "and there are no lists to quarantine"
    digest = manifest.digest(manifest.digests(folder))
    entry = journal.append(
        artifacts.journal,
        journal.QUARANTINE,
        who=settings.run_by,
        why="the verdict was stop",
        release=folder.release,
        quarantined=digest,
    )
    try:
        with changes.opened(artifacts, settings) as store:
            quarantined = changes.quarantine_now(store, entry)
    except TryLater:
        return "the quarantine reaches Redis with the next command"
    return "these lists are quarantined" if quarantined else "the same lists are live and stay so"
