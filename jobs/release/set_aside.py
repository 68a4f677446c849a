"""Entries of a history that was left: kept in a dated folder beside the journal, never deleted.

In: a journal folder and what leaves it. Out: `journal_set_aside/<time>-<how>/`, with entries of this journal in
`journal/` and those of Redis's copy in `redis/`. While the work goes on the folder's name ends in `.unfinished`, so
that whoever comes after a crash knows that it has to be finished.
"""

import json
import os
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.release import history, journal
from jobs.runtime.errors import BrokenInput

TAKE, ADOPT = "take", "adopt"

_UNFINISHED = ".unfinished"
_HERE, _REDIS = "journal", "redis"


def begin(folder: Path, how: str) -> Path:
    """Make a new folder beside the journal in `folder`; `how` is TAKE or ADOPT."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    place = _root(folder) / f"{stamp}-{secrets.token_hex(2)}-{how}{_UNFINISHED}"
    place.mkdir(parents=True)
    return place


def unfinished(folder: Path) -> list[Path]:
    """Return the folders whose work was interrupted, oldest first. Raises BrokenInput when they cannot be listed."""
    try:
        with os.scandir(_root(folder)) as found:
            return sorted(Path(one.path) for one in found if one.name.endswith(_UNFINISHED))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BrokenInput(
            f"what was set aside cannot be read: {error.strerror}",
            str(_root(folder)),
            "make it readable for the user that runs this command, then run the step again",
        ) from error


def finish(folder: Path) -> list[str]:
    """Take the mark off all unfinished folders and return their paths; those that hold no file go."""
    kept = []
    for place in unfinished(folder):
        if any(one.is_file() for one in place.rglob("*")):
            kept.append(str(place.replace(place.with_name(place.name.removesuffix(_UNFINISHED)))))
        else:
            shutil.rmtree(place)
    return kept


def move(files: list[Path], place: Path) -> None:
    """Move files of the journal, those with greater numbers first: what stays is always the beginning of a journal."""
    (place / _HERE).mkdir()
    for file in sorted(files, reverse=True):
        file.replace(place / _HERE / file.name)
        journal.sync(place / _HERE)
        journal.sync(file.parent)


def keep_copy(entries: dict[int, dict[str, Any]], altered: dict[int, str], place: Path) -> None:
    """Write down entries of Redis's copy, and the text of those whose checksum does not fit."""
    (place / _REDIS).mkdir()
    for entry in entries.values():
        journal.put(place / _REDIS, entry)
    for seq, text in altered.items():
        (place / _REDIS / f"{seq}.altered").write_text(json.dumps(text), encoding="utf-8")


def quarantined(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the quarantines in unfinished folders that took place, by digest of the lists."""
    places = unfinished(folder)
    found: dict[str, dict[str, Any]] = {}
    for part in (_HERE, _REDIS):
        # Together: a crash may have left an intent in one folder and its outcome in another.
        left = [entry for place in places for entry in journal.intact(place / part).values()]
        found |= history.quarantined(left)
    return found


def _root(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}_set_aside")
