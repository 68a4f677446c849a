"""Load on a running NGINX, so that what happens to it meanwhile happens under somebody's hand.

In: a running NGINX. Out: how many requests were answered and how many were not. Guarantees that requests went through
before and after what a test does in between, however slow the machine is.
"""

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from tests.deploy.nginx.front import PATIENCE_S, Front
from tests.harness.waiting import until

_SOME = 100

_SCRIPT = """
math.randomseed(7)
request = function()
  return wrk.format("GET", "/v1/users/" .. math.random(1, 30) .. "/recommendations?limit=" .. math.random(1, 10))
end
done = function(summary)
  local e = summary.errors
  io.write(string.format("RESULT %d %d\\n", summary.requests, e.status + e.read + e.write + e.timeout + e.connect))
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk saw: answers, and of these failed ones (no answer, or not 2xx or 3xx)."""

    requests: int
    failed: int
    shown: str


@contextmanager
def load(front: Front, *options: str) -> Iterator[Callable[[], Load]]:
    """Load NGINX with 16 connections in the background until the given function is called, which says what was seen.

    Before the block and before the end of the load at least 100 requests went through.
    """
    script = front.folder / "load.lua"
    script.write_text(_SCRIPT)
    command = ["wrk", "-t1", "-c16", "-d600s", f"--timeout={PATIENCE_S}s", "-s", str(script)]
    process = subprocess.Popen([*command, *options, front.base], stdout=subprocess.PIPE, text=True)

    def some_more() -> None:
        before, looks = front.handled(), count(1)
        # Each look is a request of its own.
        until(
            lambda: front.handled() - next(looks) >= before + _SOME,
            "requests go through",
            PATIENCE_S,
        )

    def finish() -> Load:
        some_more()
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=PATIENCE_S)
        found = re.search(r"RESULT (\d+) (\d+)", shown)
        assert found, shown
        return Load(int(found[1]), int(found[2]), shown)

    try:
        some_more()
        yield finish
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
