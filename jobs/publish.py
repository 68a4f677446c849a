"""Publish: a complete, verified release in Redis, beside the live one.

In: the lists, the checks and the decision of a release. Out: `manifest.json` and a release that the catalog calls
verified. Guarantees that nothing that failed a gate is loaded, that the live release is not touched, that
every value was read back from primaries and compared byte for byte before the release can be activated, and
that a publish which died leaves nothing that blocks the next.
"""

import json
import os
import secrets
import socket
import time
from dataclasses import dataclass

from redis.cluster import RedisCluster

from jobs.quality import result
from jobs.release import journal, manifest
from jobs.release.folder import Artifacts, ReleaseFolder, require
from jobs.runtime.errors import BrokenInput, GateRefused, TryLater
from jobs.runtime.record import recorded
from jobs.runtime.settings import Settings
from jobs.store import encoding, loading
from jobs.store.catalog import VERIFIED, Catalog
from jobs.store.cluster import connected

#: A publisher that says nothing for so long is taken for dead.
LEASE_S = 30
_RENEW_EVERY_S = 5.0
_SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """What was loaded; `already_loaded` when the same release stood there verified."""

    release: str
    digest: str
    lists: int
    keys: int
    value_bytes: int
    already_loaded: bool
    load_s: float = 0.0
    read_back_s: float = 0.0


def run(folder: ReleaseFolder, settings: Settings, *, rate: int | None = None) -> Outcome:
    """Load a release and read it back.

    Raises GateRefused for a release that a check or its verdict stopped, or whose lists are quarantined; BrokenInput
    for missing or changed files; TryLater when Redis or another publisher is in the way.
    """
    _gates(folder)
    described = manifest.write(folder, settings.run_by)
    with recorded("publish", folder.records, settings.run_by) as counts:
        with connected(settings) as cluster:
            outcome = load(
                cluster,
                folder,
                described,
                settings,
                rate=settings.load_rate if rate is None else rate,
            )
        counts.update(vars(outcome))
    return outcome


def load(
    cluster: RedisCluster,
    folder: ReleaseFolder,
    described: dict[str, str],
    settings: Settings,
    *,
    rate: int,
) -> Outcome:
    """Load and verify a release whose gates were passed; see `run` for what it raises."""
    catalog = Catalog(cluster, settings.namespace)
    what = encoding.stored(folder, settings.namespace, described)
    token = secrets.token_hex(8)
    begun = catalog.change(
        "begin_load",
        *(folder.release, described["digest"], described["partition"], token),
        *(f"{settings.run_by} ({socket.gethostname()}, pid {os.getpid()})", LEASE_S * 1000),
    )
    counts = (
        folder.release,
        described["digest"],
        what.lists,
        len(what.hashes),
        encoding.size(what),
    )
    if begun.word == "already":
        return Outcome(*counts, already_loaded=True)
    _require_begun(folder, begun.word, begun.details)
    for dead in begun.details:
        loading.remove(cluster, settings.namespace, dead)
        if dead != folder.release:
            catalog.change("finish_retire", dead)
    lease = _Lease(catalog, folder.release, token)
    started = time.monotonic()
    loading.load(cluster, settings.namespace, what, rate=rate, keep_going=lease.renew)
    loaded = time.monotonic()
    wrong = loading.differences(cluster, settings.namespace, what)
    read_back = time.monotonic()
    if wrong:
        catalog.change("abandon", folder.release, token)
        told = ", ".join(f"{key} {field}".strip() for key, field in wrong[:_SHOWN])
        raise TryLater(
            f"{len(wrong)} values read back differ from what was written ({told})",
            f"release {folder.release}",
            "look for another writer in this namespace, then run publish again",
        )
    if not catalog.change("verify", folder.release, token).ok:
        raise _overtaken(folder.release)
    return Outcome(
        *counts,
        already_loaded=False,
        load_s=round(loaded - started, 3),
        read_back_s=round(read_back - loaded, 3),
    )


@dataclass
class _Lease:
    """The right to load, prolonged while the load goes on."""

    catalog: Catalog
    release: str
    token: str
    renewed_at: float = 0.0

    def renew(self) -> None:
        if time.monotonic() - self.renewed_at < _RENEW_EVERY_S:
            return
        if not self.catalog.change("renew", self.release, self.token, LEASE_S * 1000).ok:
            raise _overtaken(self.release)
        self.renewed_at = time.monotonic()


def _gates(folder: ReleaseFolder) -> None:
    result.require_passed(folder)
    decision = json.loads(require(folder.decision, "evaluate").read_text("utf-8"))
    if decision["verdict"] == "stop":
        reasons = "; ".join(reason["text"] for reason in decision["reasons"])
        raise GateRefused(
            f"the verdict on this release is stop: {reasons}",
            str(folder.decision),
            "look at the evaluation; the live release stays",
        )


def _require_begun(folder: ReleaseFolder, word: str, details: tuple[str, ...]) -> None:
    release = folder.release
    if word == "quarantined":
        raise GateRefused(
            "these lists are quarantined", f"release {release}: {details[0]}", "train a new release"
        )
    if word == "busy":
        raise TryLater(
            f"another publisher is loading {details[0]}: {details[1]}",
            f"its lease runs for another {int(details[2]) / 1000:.0f} s",
            "run publish again when it is done",
        )
    if word == "conflict":
        raise BrokenInput(
            "other lists are loaded under this release id",
            f"{release}, digest {details[0]}",
            "a release never changes: find out who wrote the files of this folder",
        )


def _overtaken(release: str) -> TryLater:
    return TryLater(
        "another publisher took over this load",
        f"release {release}",
        "wait for it, then run publish again",
    )


def is_loaded(catalog: Catalog, release: str) -> bool:
    """Say whether a release is loaded and verified."""
    return catalog.read().releases.get(release, {}).get("state") == VERIFIED


def quarantine_stopped(artifacts: Artifacts, folder: ReleaseFolder, settings: Settings) -> None:
    """Bar the lists of a release that a gate stopped, durably and in Redis."""
    by_file = manifest.digests(folder)
    digest = manifest.digest(by_file)
    entry = journal.append(
        artifacts.journal,
        journal.QUARANTINE,
        who=settings.run_by,
        why="a gate said stop",
        release=folder.release,
        digest=digest,
    )
    with connected(settings) as cluster:
        Catalog(cluster, settings.namespace).change("quarantine", digest, json.dumps(entry))
