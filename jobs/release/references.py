"""Which release a run is compared with, and what becomes of that when its files are gone.

In: the journal and the release folders. Out: the newest activated release before a day that can be compared with.
Guarantees that a release whose files were removed by hand does not stop the days after it: the next older one is taken,
and what was passed over is named.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jobs.release import history, journal
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.errors import BrokenInput
from schemas.manifest import partition_of


@dataclass(frozen=True)
class Chosen:
    """The reference of a day, or None, and the releases that would have been it but for missing files."""

    release: str | None
    missing: tuple[str, ...]


def choose(artifacts: Artifacts, partition: str) -> Chosen:
    """Return the reference of a run of `partition`; each release that is passed over is named on standard error."""
    past = history.fold(journal.read(artifacts.journal))
    missing: list[str] = []
    for release in history.references_for(past, partition):
        lacking = _lacking(artifacts.release(release))
        if not lacking:
            return Chosen(release, tuple(missing))
        missing.append(release)
        print(
            f"note: release {release} of {partition_of(release)} cannot be the reference, its files are gone "
            f"({artifacts.release(release).root} lacks {_names(lacking)}); an older one is looked for",
            file=sys.stderr,
        )
    return Chosen(None, tuple(missing))


def passed_over(artifacts: Artifacts, partition: str, reference: str | None) -> list[str]:
    """Return the activated releases newer than `reference`, of days before `partition`, whose files are gone."""
    newest = history.references_for(history.fold(journal.read(artifacts.journal)), partition)
    newer = newest[: newest.index(reference)] if reference in newest else newest
    return [release for release in newer if _lacking(artifacts.release(release))]


def require(folder: ReleaseFolder, files: Iterable[Path] | None = None) -> None:
    """Raise BrokenInput when a reference that was named lacks `files`, or without them any that it is compared by."""
    lacking = _lacking(folder) if files is None else [path for path in files if not path.exists()]
    if lacking:
        raise BrokenInput(
            f"the reference {folder.release} of {partition_of(folder.release)} is gone: it lacks {_names(lacking)}",
            str(folder.root),
            "bring it back from a backup, or give --reference with what `nightshelf releases --reference-for DAY` "
            "names now, or none",
        )


def _lacking(folder: ReleaseFolder) -> list[Path]:
    compared = (folder.interactions, folder.books, folder.lists, folder.popularity)
    return [path for path in (*compared, folder.records / "extract.json") if not path.exists()]


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths)
