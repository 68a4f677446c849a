"""Waiting for what other processes do."""

import time
from collections.abc import Callable

_PAUSE_S = 0.02


def until(
    condition: Callable[[], object],
    what: object,
    deadline_s: float = 30,
    pause_s: float = _PAUSE_S,
) -> None:
    """Wait until a condition holds; fails after the deadline and says what did not happen.

    `what` is turned into text only then: a list that the condition fills says what was missing last.
    """
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        time.sleep(pause_s)
