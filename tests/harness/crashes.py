"""A process that dies at a chosen write.

In: a number n. Out: a block in which the n-th command to Redis, pipeline or file that appears does not happen but
raises `Crash` (or what `die` does), and everything that would follow too. Guarantees that nothing of the
code under test can catch it as an error it knows. Dying after a write leaves what dying before the next one leaves, so
this is all there is.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.cluster import ClusterPipeline, RedisCluster


class Crash(BaseException):
    """The process is gone."""


def _raise() -> None:
    raise Crash


class Counter:
    """How many writes there were, and whether one of them was the end."""

    def __init__(self, fatal: int, die: Callable[[], None] = _raise) -> None:
        """Die before write number `fatal`."""
        self.writes = 0
        self.crashed = False
        self._fatal, self._inside, self._die = fatal, False, die

    def wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return `original` as one of the writes that are counted; what it calls itself is not."""

        def write(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return original(*args, **kwargs)
            self.writes += 1
            self.crashed = self.writes >= self._fatal
            if self.crashed:
                self._die()
            self._inside = True
            try:
                return original(*args, **kwargs)
            finally:
                self._inside = False

        return write


@contextmanager
def crashing(fatal: int, die: Callable[[], None] = _raise) -> Iterator[Counter]:
    """Run the block until write number `fatal`; the counter says afterwards whether it came so far."""
    counter = Counter(fatal, die)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RedisCluster, "execute_command", counter.wrap(RedisCluster.execute_command))
        patch.setattr(ClusterPipeline, "execute", counter.wrap(ClusterPipeline.execute))
        patch.setattr(os, "link", counter.wrap(os.link))
        patch.setattr(Path, "replace", counter.wrap(Path.replace))
        try:
            yield counter
        except Crash:
            assert counter.crashed
