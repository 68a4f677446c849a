"""Whose journal it is: an id that is made once and never changes.

In: a journal folder. Out: `journal/identity.json`, with its checksum. Guarantees that of two writers one makes the id
and both get it. Redis keeps the same id beside the pointer (jobs/store/histories.py).
"""

import secrets
from datetime import UTC, datetime
from pathlib import Path

from jobs.release import checksum, journal
from jobs.runtime.errors import BrokenInput

_NAME = "identity.json"
_BYTES = 16


def path(folder: Path) -> Path:
    """Return the file that holds the id of the journal in `folder`."""
    return folder / _NAME


def read(folder: Path) -> str | None:
    """Return the journal's id, None where it has none yet. Raises BrokenInput when it is altered or unreadable."""
    file = path(folder)
    try:
        content = checksum.opened(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _broken(f"cannot be read: {error.strerror}", file) from error
    if content is None or "journal" not in content:
        raise _broken("was altered", file)
    return str(content["journal"])


def make(folder: Path, identity: str | None = None) -> str:
    """Give the journal an id, a new one unless given; return the one it has then."""
    created_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    content = {"journal": identity or secrets.token_hex(_BYTES), "created_at": created_at}
    if journal.write_once(path(folder), content):
        return str(content["journal"])
    return read(folder) or make(folder, identity)


def _broken(what: str, file: Path) -> BrokenInput:
    return BrokenInput(
        f"the id of the journal {what}",
        str(file),
        "bring the file back from a backup, or remove it and run `nightshelf reconcile`, which takes the id from Redis",
    )
