"""A lease: the right to load or to remove a release's keys for a while, prolonged while the work goes on.

In: a connection, the release registry, a duration. Out: a `Lease` whose token the release registry knows, and for
every key the time on its own node up to which a removal under this lease may be carried out. Guarantees that a removal
which was held up (a frozen process, a repeated message) does nothing once the lease may be somebody else's: its time
is over, or its node was started again and with it the release registry may have forgotten the lease (found by
tests/faults/protocol.pml). A late write needs no such guard: the values of a release never differ.
"""

import hashlib
import os
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError

from jobs.runtime.errors import TryLater
from jobs.store.cluster import patiently, together
from jobs.store.registry import Registry

_MS_PER_S = 1000
_US_PER_MS = 1000
#: A lease is prolonged when a third of it is over.
_PARTS = 3

#: Removes a key if the time on its node is before ARGV[1]. Each lease has a script of its own: a node that was started
#: again since the lease began does not know it. (Comparing the run id of INFO would triple the cost of a removal.)
_UNLINK_IN_TIME = """
-- lease {token}
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) >= tonumber(ARGV[1]) then return -1 end
return redis.call('UNLINK', KEYS[1])
"""
_LATE = -1
_PIPELINE = 500


@dataclass
class Lease:
    """A lease on one release; `begin` and `renew` ask every primary for its time before the release registry counts."""

    cluster: RedisCluster
    registry: Registry
    release: str
    duration_s: int
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    begun_at: float = 0.0
    deadlines_ms: dict[str, int] = field(default_factory=dict)

    @property
    def duration_ms(self) -> int:
        """The duration in milliseconds."""
        return self.duration_s * _MS_PER_S

    def begin(self) -> None:
        """Note when the lease begins, by the clock of every primary; call it before the release registry is asked."""
        self.begun_at = time.monotonic()
        patiently(lambda: self.cluster.script_load(self._script))
        # Clocks of the nodes may differ at will: each is only compared with itself.
        self.deadlines_ms = {
            node: seconds * _MS_PER_S + microseconds // _US_PER_MS + self.duration_ms
            for node, (seconds, microseconds) in patiently(self._times).items()
        }

    def _times(self) -> dict[str, tuple[int, int]]:
        # Node by node: asked of all primaries at once, redis-py answers in another form where there is only one.
        primaries: Any = self.cluster.get_primaries()
        return {node.name: self.cluster.time(target_nodes=node) for node in primaries}

    def renew(self) -> None:
        """Prolong the lease if a third of it is over. Raises TryLater when somebody else has taken over."""
        if time.monotonic() - self.begun_at < self.duration_s / _PARTS:
            return
        self.begin()
        if not self.registry.change("renew", self.release, self.token, self.duration_ms).ok:
            raise self.overtaken()

    @property
    def _script(self) -> str:
        return _UNLINK_IN_TIME.replace("{token}", self.token)

    def unlink(self, names: list[str]) -> int:
        """Remove keys and return how many there were. Raises TryLater when the lease ran out meanwhile."""
        removed = 0
        script = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        for start in range(0, len(names), _PIPELINE):
            self.renew()
            answers = together(
                self.cluster,
                (
                    ("EVALSHA", script, 1, name, self._deadline_ms(name))
                    for name in names[start : start + _PIPELINE]
                ),
                raise_on_error=False,
            )
            for answer in answers:
                if isinstance(answer, NoScriptError) or answer == _LATE:
                    raise self.overtaken()
                if isinstance(answer, Exception):
                    raise answer
                removed += answer
        return removed

    def _deadline_ms(self, name: str) -> int:
        # A primary that was none when the lease began has no deadline: there nothing is removed.
        return self.deadlines_ms.get(self.cluster.get_node_from_key(name).name, 0)

    def overtaken(self) -> TryLater:
        """Return the error of one whose lease is over."""
        return TryLater(
            "this command was delayed for so long that another one may have taken over",
            f"release {self.release}, lease of {self.duration_s} s",
            "look at `nightshelf releases`, then run the step again",
        )


def this_process(run_by: str) -> str:
    """Return who holds a lease, for others to read."""
    return f"{run_by} ({socket.gethostname()}, pid {os.getpid()})"
