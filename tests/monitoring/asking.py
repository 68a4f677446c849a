"""Asking the deployment's parts, and waiting for what they say."""

import urllib.request
from collections.abc import Callable

from tests.harness import waiting

DEADLINE_S = 240
#: As long as a machine that is busy with other things may take for one answer.
_ANSWER_S = 60
#: What is asked is an answer that changes with scrapes, so asking more often only makes the machine busier.
_PAUSE_S = 0.2


def until(condition: Callable[[], object], what: object, deadline_s: float = DEADLINE_S) -> None:
    """Wait as `tests.harness.waiting.until` does, as long as a deployment may take."""
    waiting.until(condition, what, deadline_s, _PAUSE_S)


def get(url: str) -> bytes:
    """Return what a URL answers."""
    with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:  # noqa: S310  # loopback
        return bytes(answer.read())


def answers(url: str) -> bool:
    """Say whether a URL answers with 200."""
    try:
        get(url)
    except OSError:
        return False
    return True
