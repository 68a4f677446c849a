"""What there is to tell about the batch, read from the artifacts.

In: the artifacts folder. Out: a `State`. Guarantees that it follows from files alone, which a killed run, a lost Redis
or a restart of this process leave as they are; that a file which cannot be read is counted and hides nothing else; and
that a release is read again only when its folder has changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from jobs.release import history, journal
from jobs.runtime.artifacts import Artifacts, ReleaseFolder, release_folders
from jobs.runtime.errors import NightshelfError
from jobs.runtime.files import json_files, read_json
from schemas.manifest import partition_of

T = TypeVar("T")

#: What else than a broken file can a broken file raise when it is read?
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, NightshelfError)


@dataclass(frozen=True)
class Release:
    """What the files of one release say; `records` by step, `checks` the validations by table."""

    release: str
    records: dict[str, dict[str, Any]]
    decision: dict[str, Any]
    checks: dict[str, dict[str, Any]]
    metrics: dict[str, dict[str, Any]]

    @property
    def begun(self) -> str:
        """When it was extracted, "" while it was not."""
        return str(self.records.get("extract", {}).get("started_at", ""))


@dataclass(frozen=True)
class State:
    """`newest` is the release of the latest partition that has begun, `live` the one the journal calls live.

    `steps` are the latest records of every step over all releases, `attempts` the commands by (command, dag),
    `waiting_since` the Unix time since when a release on hold waits for a person, `unreadable` counts by kind of file.
    """

    newest: Release | None = None
    live: Release | None = None
    activated_at: float = 0.0
    releases: int = 0
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    attempts: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    refusals: int = 0
    quarantined: int = 0
    waiting_since: float = 0.0
    live_from_future: bool = False
    unreadable: dict[str, int] = field(default_factory=dict)


class Reader:
    """Reads the state of an artifacts folder again and again, changed releases only."""

    def __init__(self, artifacts: Artifacts, today: Callable[[], str]) -> None:
        """Nothing is read yet; `today` says at each reading which is the latest day that has begun."""
        self._artifacts = artifacts
        self._today = today
        self._kept: dict[str, tuple[tuple[int, ...], Release]] = {}
        self._journal: tuple[int, list[dict[str, Any]]] = (-1, [])

    def read(self) -> State:
        """Return the state of now; what cannot be read is counted and left out."""
        unreadable = dict.fromkeys(("journal", "releases", "attempts"), 0)
        entries = self._tried(unreadable, "journal", self._entries) or []
        releases = self._releases(unreadable)
        history_state = history.fold(entries)
        today = self._today()
        begun = [one for one in releases if partition_of(one.release) <= today]
        newest = max(begun, key=lambda one: (partition_of(one.release), one.begun), default=None)
        from_future = history_state.live is not None and partition_of(history_state.live) > today
        return State(
            newest=newest,
            live=next((one for one in releases if one.release == history_state.live), None),
            activated_at=_activated_at(entries, history_state.live),
            releases=len(releases),
            steps=_latest(releases),
            attempts=self._attempts(unreadable),
            refusals=sum(entry["action"] == journal.REFUSAL for entry in entries),
            quarantined=len(history_state.quarantine),
            waiting_since=_waiting_since(newest, history_state, live_counts=not from_future),
            live_from_future=from_future,
            unreadable=unreadable,
        )

    def _tried(self, unreadable: dict[str, int], kind: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except _UNREADABLE:
            unreadable[kind] += 1
            return None

    def _entries(self) -> list[dict[str, Any]]:
        folder = self._artifacts.journal
        try:
            # Each entry makes a name in this folder, so an unchanged folder has no new ones.
            changed = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        if self._journal[0] != changed:
            self._journal = (changed, journal.read(folder))
        return self._journal[1]

    def _releases(self, unreadable: dict[str, int]) -> list[Release]:
        root = self._artifacts.releases
        folders: list[ReleaseFolder] = (
            self._tried(unreadable, "releases", lambda: release_folders(root)) or []
        )
        found = []
        for folder in folders:
            one = self._tried(unreadable, "releases", lambda f=folder: self._release(f))  # type: ignore[misc]
            if one is not None:
                found.append(one)
        for gone in set(self._kept).difference(folder.release for folder in folders):
            del self._kept[gone]
        return found

    def _release(self, folder: ReleaseFolder) -> Release:
        # Every file is written beside its place and renamed, which changes its folder's time.
        places = (folder.root, folder.records, folder.validation("lists").parent)
        changed = tuple(place.stat().st_mtime_ns for place in places if place.is_dir())
        kept = self._kept.get(folder.release)
        if kept is None or kept[0] != changed:
            kept = self._kept[folder.release] = (changed, _read_release(folder))
        return kept[1]

    def _attempts(self, unreadable: dict[str, int]) -> dict[tuple[str, str], dict[str, Any]]:
        found = {}
        folder = self._artifacts.attempts
        paths: list[Path] = self._tried(unreadable, "attempts", lambda: json_files(folder)) or []
        for path in paths:
            content = self._tried(unreadable, "attempts", lambda p=path: read_json(p))  # type: ignore[misc]
            if content:
                command, _, dag = path.stem.partition("@")
                found[command, dag] = content
        return found


def unix(moment: str) -> float:
    """Return the Unix time of an ISO 8601 moment."""
    return datetime.fromisoformat(moment).timestamp()


def ended_at(record: dict[str, Any]) -> float:
    """Return when a recorded step ended, a Unix time."""
    return unix(record["started_at"]) + float(record["duration_s"])


def _read_release(folder: ReleaseFolder) -> Release:
    records = {path.stem: read_json(path) for path in json_files(folder.records)}
    validations = json_files(folder.validation("lists").parent)
    return Release(
        release=folder.release,
        # What has no times was not written by a step.
        records={
            step: one for step, one in records.items() if "started_at" in one and ended_at(one)
        },
        decision=read_json(folder.decision),
        checks={
            path.stem: {name: found[name] for name in ("status", "facts")}
            for path in validations
            if (found := read_json(path))
        },
        metrics={
            model: {
                name: value
                for name, value in values.items()
                if isinstance(value, dict) and {"value", "low", "high"} <= value.keys()
            }
            for model, values in read_json(folder.evaluation).get("metrics", {}).items()
        },
    )


def _latest(releases: list[Release]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for release in releases:
        for step, record in release.records.items():
            if step not in found or ended_at(record) > ended_at(found[step]):
                found[step] = record
    return found


def _activated_at(entries: list[dict[str, Any]], live: str | None) -> float:
    """Return when the pointer was last moved to what is live, 0 while nothing is."""
    done = {
        e["of"] for e in entries if e["action"] == journal.OUTCOME and e["result"] == journal.OK
    }
    moves = [unix(e["at"]) for e in entries if e["seq"] in done and live and e.get("to") == live]
    return max(moves, default=0.0)


def _waiting_since(
    newest: Release | None, history_state: history.History, *, live_counts: bool
) -> float:
    """Return since when the newest release waits for a person, 0 if nobody has to be asked."""
    if newest is None or newest.decision.get("verdict") != "hold":
        return 0.0
    if newest.release == history_state.live or newest.release in history_state.activations:
        return 0.0
    judged = newest.records.get("evaluate")
    overtaken = (
        history_state.live
        and live_counts
        and partition_of(newest.release) < partition_of(history_state.live)
    )
    if judged is None or overtaken:
        return 0.0
    return ended_at(judged)
