"""What the operating system refused, as a message that a person can act on.

In: an OSError. Out: a NightshelfError with what, where and what to do. Guarantees exit code 4 where something wrong
stands at a path, which stays so however often one tries, and 1 for everything else.
"""

import errno
import os
import re

from jobs.runtime.errors import BrokenInput, NightshelfError, TryLater

_SPACE = "free space on this file system and run the command again; nothing was replaced"
_DEVICE = "check the disk or the mount, and run the command again"
_OTHER = "move it away or correct the path, and run the command again"
_RIGHTS = (
    "give the user who runs this command the right to read it, or to write there, and run it again"
)

#: Something wrong stands at the path.
_WRONG_PATH = {
    errno.ENOENT: "bring it back, or correct the path",
    errno.EISDIR: f"a folder stands where a file belongs: {_OTHER}",
    errno.ENOTDIR: f"a file stands where a folder belongs: {_OTHER}",
    errno.EEXIST: f"something else stands there: {_OTHER}",
    errno.ENOTEMPTY: f"something else stands there: {_OTHER}",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ELOOP: "the symbolic links lead to each other: correct them",
    errno.EINVAL: "the path cannot be used: correct it",
}
#: The machine is in the way.
_REFUSALS = {
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "mount the file system for writing, or name a folder elsewhere, and run the command again",
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.ENODEV: _DEVICE,
    errno.ENXIO: _DEVICE,
    errno.EIO: _DEVICE,
    errno.ESTALE: _DEVICE,
    errno.ENOTCONN: _DEVICE,
    errno.EXDEV: "keep the folder on one file system, and run the command again",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`) and run the command again",
    errno.ENFILE: "close other programs on this machine and run the command again",
    errno.ENOMEM: "free memory and run the command again",
}


def number_of(error: OSError) -> int | None:
    """Return the errno of an error; polars tells it in the text alone."""
    as_problem = re.search(r"\(os error (\d+)\)", str(error))
    return error.errno if error.errno is not None else int(as_problem[1]) if as_problem else None


def as_problem(error: OSError) -> NightshelfError:
    """Return what a person is told about `error`."""
    number = number_of(error)
    reason = os.strerror(number) if number is not None and number > 0 else str(error)
    names = [
        os.fsdecode(n) for n in (error.filename, error.filename2) if isinstance(n, str | bytes)
    ]
    where = " -> ".join(names) or (str(error) if number is not None else "this machine")
    if number in _WRONG_PATH:
        return BrokenInput(f"the system refuses a path: {reason}", where, _WRONG_PATH[number])
    do = _REFUSALS.get(number or 0, "see to what is named, and run the command again")
    return TryLater(f"the system refuses: {reason}", where, do)
