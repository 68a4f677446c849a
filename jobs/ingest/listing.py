"""The entries of one folder below `drops/`: what each one is.

In: a folder, and a function that says which entries belong there. Out: a `Listing`. Every entry is in exactly one of
its four parts, by the first rule that applies:

    markers      `*.crc`; the completeness marker of a setting; other hidden files (`.*`); what Spark and Databricks
                 write beside data (`_SUCCESS`, `_metadata`, `_common_metadata`, `_committed_*`, `_started_*`)
    in_progress  a name by which a writer shows that it has not finished (`_temporary`, `*.tmp`, `*.inprogress`, ...);
                 also of a hidden file
    refused      the entry does not belong there, or cannot be read
    entries      the rest, by name

A folder that cannot be listed is an error, never an empty listing.
"""

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jobs.runtime.errors import BrokenInput

_IN_PROGRESS = re.compile(
    r"_temporary.*|_tmp\..*|\.(spark|hive)-staging.*|.*\.(tmp|inprogress)(\..*)?"
    r"|.*\.(temp|part|partial|filepart|crdownload)|.*\._copying_",
    re.IGNORECASE,
)
_CHECKSUM = ".crc"
_MARKER = re.compile(r"_SUCCESS|_metadata|_common_metadata|_committed_.*|_started_.*")
_MOST_NAMED = 5

#: Says why an entry does not belong in its folder, None if it does; takes its name and `st_mode`.
Refusal = Callable[[str, int], str | None]


class NotComplete(BrokenInput):
    """Files of a day are still being written."""


@dataclass(frozen=True)
class Listing:
    """The entries of `folder`; `refused` holds the reason of each; `absent` says that there is no such folder."""

    folder: Path
    entries: tuple[Path, ...] = ()
    markers: tuple[Path, ...] = ()
    in_progress: tuple[Path, ...] = ()
    refused: tuple[tuple[Path, str], ...] = ()
    absent: bool = False

    @property
    def said_complete(self) -> bool:
        """Whether a writer left a marker that is not hidden: it has finished, also if it left nothing else."""
        names = [path.name for path in self.markers]
        return any(not name.startswith(".") and not name.endswith(_CHECKSUM) for name in names)


def listed(folder: Path, refusal: Refusal, marker: str = "") -> Listing:
    """Return the entries of a folder. Raises BrokenInput when it is there and cannot be listed."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return Listing(folder, absent=True)
    except OSError as error:
        raise unreadable(folder, error) from error
    entries, markers, in_progress, refused = [], [], [], []
    for name in names:
        path = folder / name
        if name == marker or name.endswith(_CHECKSUM):
            markers.append(path)
        elif _IN_PROGRESS.fullmatch(name):
            in_progress.append(path)
        elif name.startswith(".") or _MARKER.fullmatch(name):
            markers.append(path)
        elif (why := _refusal(path, refusal)) is not None:
            refused.append((path, why))
        else:
            entries.append(path)
    return Listing(folder, tuple(entries), tuple(markers), tuple(in_progress), tuple(refused))


def require_usable(found: Listing) -> None:
    """Raise BrokenInput that names each refused entry; NotComplete when some are only being written."""
    if found.refused:
        paths = [path for path, _ in found.refused]
        text = [f"{path.name} ({why})" for path, why in found.refused]
        text += [f"{path.name} (still being written)" for path in found.in_progress]
        raise BrokenInput(
            f"{found.folder.name} holds what cannot be read: {_some(text)}",
            str(paths[0] if len(paths) == 1 else found.folder),
            "land it as expected, or move it out of this folder; nothing is left out unseen",
        )
    if found.in_progress:
        first = found.in_progress[0]
        raise NotComplete(
            f"{found.folder.name} is not complete yet: {_some([p.name for p in found.in_progress])} "
            "is still being written",
            str(first if len(found.in_progress) == 1 else found.folder),
            "wait until the source has finished; if it has died, remove what it left and land the day again",
        )


def unreadable(path: Path, error: OSError) -> BrokenInput:
    """Return the error about a file or folder that the system does not let us read."""
    return BrokenInput(
        f"{path.name} cannot be read: {error.strerror or error}",
        str(path),
        "give this user the right to read it, or repair it",
    )


def file_named(*names: str) -> Refusal:
    """Return a check that accepts regular files of these names only."""

    def refusal(name: str, mode: int) -> str | None:
        if name not in names:
            return f"expected here: {', '.join(names)}"
        return None if stat.S_ISREG(mode) else "not a regular file"

    return refusal


def _refusal(path: Path, refusal: Refusal) -> str | None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    why = refusal(path.name, mode)
    if why is None and stat.S_ISREG(mode) and not os.access(path, os.R_OK):
        return "cannot be read: Permission denied"
    return why


def _some(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
