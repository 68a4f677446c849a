"""Work beside the point of a command: its failure is a note on standard error, not the command's end.

In: a block and what it stands for. Out: nothing, or one note. Guarantees that an error which is already on its way
to the user is not replaced by another one about a page or a record.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.runtime.errors import NightshelfError


@contextmanager
def instead(what: str) -> Iterator[None]:
    """Print `what` and why when the block ends with an error that a person can act on."""
    try:
        yield
    except (NightshelfError, OSError) as error:
        print(f"note: {what}: {error}", file=sys.stderr)
