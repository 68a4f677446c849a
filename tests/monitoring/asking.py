"""Asking the house's parts, and waiting for what they say."""

import urllib.request
from collections.abc import Callable

from tests import waiting

DEADLINE_S = 120


def until(condition: Callable[[], object], what: object, deadline_s: float = DEADLINE_S) -> None:
    """Wait as `tests.waiting.until` does, as long as a house may take."""
    waiting.until(condition, what, deadline_s)


def get(url: str) -> bytes:
    """Return what a URL answers."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # loopback
        return bytes(answer.read())


def answers(url: str) -> bool:
    """Say whether a URL answers with 200."""
    try:
        get(url)
    except OSError:
        return False
    return True
