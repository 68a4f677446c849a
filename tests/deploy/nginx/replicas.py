"""Real edge replicas on Unix sockets, before a store with a published release.

In: a Redis Cluster and a namespace of its own in it. Out: running replicas that end with the block. Guarantees that a
busy machine turns no look-up into a fallback.
"""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import redis

from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.settings import Settings
from schemas import keys
from schemas.environment import Node, node_list
from tests.deploy.nginx.front import PATIENCE_S, Answer, fetch
from tests.harness.releases import write_release
from tests.harness.waiting import until

#: Answers of these replicas are kept for as long as a run of the tests takes ...
LASTING_S = 3600
#: ... and of these as shortly as can be said.
SHORT_S = 1

_EDGE = Path(sys.executable).with_name("nightshelf-edge")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(str(self._path))


@dataclass
class Edge:
    """Running edge replicas on Unix sockets, and the store they read."""

    settings: Settings
    max_age_s: int = LASTING_S
    replicas: dict[Path, subprocess.Popen[bytes]] = field(default_factory=dict)

    def go_live(self, partition: str = "2026-01-01", **choices: Any) -> ReleaseFolder:
        """Write, publish and activate a small release."""
        release = write_release(self.settings.artifacts, partition, **choices)
        publish.run(release, self.settings)
        activate.run(Artifacts(self.settings.artifacts), release.release, self.settings)
        return release

    def get(self, replica: Path, path: str) -> Answer:
        """Ask one replica directly."""
        return fetch(_UnixConnection(replica), path, "GET", {})

    def serves(self, replica: Path) -> str | None:
        """Return the release that a replica serves, None while it does not answer."""
        try:
            answer = self.get(replica, "/readyz")
        except OSError:
            return None
        return str(answer.json["release"]) if answer.status == 200 else None

    def start(self, replica: Path) -> None:
        """Start the replica of a socket; see `wait` for when it answers. Its log stands beside the socket."""
        with replica.with_suffix(".log").open("ab") as log:
            self.replicas[replica] = self._process(replica, log)

    def _process(self, replica: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(_EDGE)],
            stderr=log,
            env={
                **os.environ,
                "NIGHTSHELF_EDGE_SOCKET": str(replica),
                "NIGHTSHELF_REDIS": node_list(self.settings.redis),
                "NIGHTSHELF_NAMESPACE": self.settings.namespace,
                "NIGHTSHELF_POINTER_REFRESH_MS": "50",
                # A cache keeps an answer for no longer than this.
                "NIGHTSHELF_POINTER_MAX_AGE_S": str(600 + 2 * self.max_age_s),
                "NIGHTSHELF_CACHE_MAX_AGE_S": str(self.max_age_s),
                "NIGHTSHELF_DRAIN_S": "0.2",
                "NIGHTSHELF_LOOKUP_DEADLINE_MS": "10000",
            },
        )

    def wait(self, release: str, *replicas: Path) -> None:
        """Wait until these replicas, or all, serve a release."""
        for replica in replicas or tuple(self.replicas):
            until(
                lambda replica=replica: self.serves(replica) == release,  # type: ignore[misc]
                f"{release} served",
                PATIENCE_S,
            )

    @contextmanager
    def without_pointer(self) -> Iterator[None]:
        """Take the catalog away for a block; replicas answer from memory then, and say so."""
        node, registry = self.settings.redis[0], keys.registry(self.settings.namespace)
        with redis.RedisCluster(host=node.host, port=node.port) as store:
            held = store.dump(registry)
            assert held is not None
            store.delete(registry)
            try:
                yield
            finally:
                store.restore(registry, 0, held)

    def stop(self) -> None:
        """End all replicas."""
        for process in self.replicas.values():
            process.kill()
            process.wait(timeout=PATIENCE_S)

    @property
    def addresses(self) -> str:
        """The replicas as NGINX is told of them."""
        return ",".join(f"unix:{replica}" for replica in self.replicas)


@contextmanager
def running_edge(
    nodes: tuple[Node, ...],
    folder: Path,
    namespace: str,
    *,
    replicas: int = 1,
    max_age_s: int = LASTING_S,
    **choices: Any,
) -> Iterator[Edge]:
    """Run replicas before one release in a namespace that nobody else uses."""
    settings = Settings(
        artifacts=folder / "artifacts", redis=nodes, namespace=namespace, retire_grace_s=0
    )
    edge = Edge(settings, max_age_s)
    release = edge.go_live(**choices).release
    try:
        for number in range(replicas):
            edge.start(folder / f"{number}.sock")
        edge.wait(release)
        yield edge
    finally:
        edge.stop()
