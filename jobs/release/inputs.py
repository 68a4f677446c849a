"""What a release was begun with, as extract wrote it down.

In: a release folder. Out: its settings and whether its rows tell time. Guarantees that every step of a release
works with the settings that are in the release's id, and that one release is computed by one computation.
"""

from typing import Any

from jobs.release.identity import LISTS_VERSION, libraries
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.documents import read_document
from jobs.runtime.errors import BrokenInput
from schemas.manifest import partition_of


def read(folder: ReleaseFolder) -> dict[str, Any]:
    """Return the content of inputs.json. Raises BrokenInput when extract has not finished, or when it is damaged."""
    return read_document(
        folder.inputs,
        "extract",
        release=str,
        partition=str,
        inputs=list,
        settings=dict,
        software=dict,
        time_ordered=bool,
    )


def require_own(folder: ReleaseFolder, *, finished_ok: bool = False) -> None:
    """Return if the release was begun with the LISTS_VERSION and the libraries of this code.

    Raises BrokenInput that names both where they differ, or when extract has not finished. A release of 0.1.0 has no
    number, which is another one. With `finished_ok` a release that has its manifest is good: its lists are computed.
    """
    if finished_ok and folder.manifest.is_file():
        return
    begun = read(folder)
    theirs, ours = begun.get("lists_version"), libraries()
    differing = [
        f"{name} {begun['software'].get(name)} instead of {own}"
        for name, own in ours.items()
        if begun["software"].get(name) != own
    ]
    if theirs != LISTS_VERSION:
        number = "without a LISTS_VERSION" if theirs is None else f"with LISTS_VERSION {theirs}"
        what = f"the release was begun {number}, this code computes lists of LISTS_VERSION {LISTS_VERSION}"
    elif differing:
        what = f"the release was begun with other libraries: {', '.join(differing)}"
    else:
        return
    day = partition_of(folder.release)
    raise BrokenInput(
        what,
        str(folder.inputs),
        f"run `nightshelf extract --partition {day}` again, which begins a release of its own, and continue with that",
    )
