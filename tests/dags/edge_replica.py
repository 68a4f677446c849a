"""A real edge replica for the tests of the DAGs: started, asked over HTTP, stopped by its pid.

In: the jobs environment's programs and a cluster. Out: answers as JSON. Guarantees that the process ends with the
block.
"""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DEADLINE_S = 60.0


@dataclass(frozen=True)
class EdgeReplica:
    """A running edge replica."""

    url: str

    def get(self, path: str) -> Any:
        """Return the JSON at `path`. Raises urllib.error.URLError while nothing can be answered."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310  # our own loopback URL
            return json.load(answer)

    def release(self) -> str | None:
        """Return the release that lists are served from, or None while there is none."""
        try:
            return str(self.get("/v1/popular?limit=1")["release"])
        except (urllib.error.URLError, OSError):
            return None

    def wait_for(self, release: str) -> None:
        """Wait until lists of `release` are served."""
        deadline = time.monotonic() + _DEADLINE_S
        while self.release() != release:
            assert time.monotonic() < deadline, f"serves {self.release()}, not {release}"
            time.sleep(0.1)


@contextmanager
def running(program: Path, redis: str, port: int) -> Iterator[EdgeReplica]:
    """Give an edge replica that reads the cluster at `redis`."""
    environment = {
        **os.environ,
        "NIGHTSHELF_EDGE_HOST": "127.0.0.1",
        "NIGHTSHELF_EDGE_PORT": str(port),
        "NIGHTSHELF_REDIS": redis,
    }
    process = subprocess.Popen([str(program)], env=environment)
    try:
        yield EdgeReplica(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=30)
