"""Failures that a person can act on, and their exit codes.

In: what went wrong, where, and what to do next. Out: exceptions that the command line prints without a
traceback. Guarantees one meaning per exit code: 0 done, 1 try again later, 2 wrong usage, 3 a quality
gate said no, 4 the input is missing or broken, 99 nothing to do. Anything else is a bug and keeps its traceback.
"""


class NightshelfError(Exception):
    """A failure told in three parts: `what` went wrong, `where`, and what to `do` next.

    `report` is the path of a page for people about it, or None.
    """

    exit_code = 1
    report: str | None = None

    def __init__(self, what: str, where: str, do: str) -> None:
        """Keep the three parts and join them into the message."""
        super().__init__(f"{what}\n  where: {where}\n  do: {do}")
        self.what = what
        self.where = where
        self.do = do


class TryLater(NightshelfError):
    """Something outside the input is in the way (Redis, the disk, another publisher): a retry may help."""

    exit_code = 1


class CheckCrashed(NightshelfError):
    """A quality check could not be carried out, so nothing is known about the data."""

    exit_code = 1


class WrongUsage(NightshelfError):
    """The command or its settings cannot be carried out as given."""

    exit_code = 2


class GateRefused(NightshelfError):
    """A quality gate said no; trying again gives the same answer."""

    exit_code = 3


class BrokenInput(NightshelfError):
    """The input is missing or broken."""

    exit_code = 4


class NothingToDo(NightshelfError):
    """There is no work for this partition."""

    exit_code = 99
