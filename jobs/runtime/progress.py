"""Progress on standard error: a bar on a terminal, plain lines elsewhere.

In: a total and a unit. Out: a `tqdm` object to call `update` on. Guarantees that standard output is left to the
result, and that a log gets a line every ten seconds and not a screenful of carriage returns.
"""

import sys
from typing import Any

from tqdm import tqdm

_PLAIN_INTERVAL_S = 10.0


class _PlainLines:
    """A file for tqdm that turns its redrawn line into lines of their own."""

    def write(self, text: str) -> None:
        stripped = text.strip("\r\n ")
        if stripped:
            sys.stderr.write(stripped + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress(
    total: int | None, description: str, unit: str, *, scaled: bool = False, shown: bool = True
) -> Any:
    """Return a progress bar to be used as a context manager; `update(n)` moves it. Not `shown`, it is silent."""
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        unit_scale=scaled,
        file=sys.stderr if terminal else _PlainLines(),
        mininterval=0.1 if terminal else _PLAIN_INTERVAL_S,
        dynamic_ncols=terminal,
        leave=True,
        disable=not shown,
    )
