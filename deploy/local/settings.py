"""Where the local stack listens and keeps its state.

In: variables with the prefix `NIGHTSHELF_LOCAL_`. Out: a frozen `LocalSettings`. Guarantees that every address
is on loopback and that no two parts share a port.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.nginx import configuration
from schemas.environment import Node, read

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


@dataclass(frozen=True)
class LocalSettings:
    """The local stack's addresses and sizes; a variable is the field's name in capitals, prefixed."""

    local_port: int = 8080
    local_edge_port: int = 8081
    local_edges: int = 2
    local_redis_port: int = 7001
    local_redis_primaries: int = 3
    local_redis_replicas: int = 0
    local_batch_port: int = 9108
    local_nginx_metrics_port: int = 9109
    local_folder: Path = ROOT / ".run"
    local_nginx: bool = True

    @property
    def redis_ports(self) -> list[int]:
        """Ports of all Redis nodes, the primaries first."""
        nodes = self.local_redis_primaries * (1 + self.local_redis_replicas)
        return [self.local_redis_port + index for index in range(nodes)]

    @property
    def redis(self) -> tuple[Node, ...]:
        """Addresses of all Redis nodes."""
        return tuple(Node(HOST, port) for port in self.redis_ports)

    @property
    def edge_ports(self) -> list[int]:
        """Ports of the edge replicas; without NGINX the first answers at the port that people use."""
        ports = [self.local_edge_port + index for index in range(self.local_edges)]
        return ports if self.has_nginx else [self.local_port, *ports[:-1]]

    @property
    def has_nginx(self) -> bool:
        """Whether NGINX stands in front: it is wanted and installed."""
        try:
            configuration.program()
        except configuration.NginxMissing:
            return False
        return self.local_nginx

    @property
    def socket(self) -> Path:
        """The supervisor's socket, in a short path: a socket's path holds 107 bytes at most."""
        digest = hashlib.sha256(str(self.local_folder.resolve()).encode()).hexdigest()[:8]
        return (
            Path(tempfile.gettempdir()) / f"nightshelf-{os.getuid()}-{digest}" / "supervisor.sock"
        )

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.local_folder / "logs"


def from_environment(environ: Mapping[str, str] | None = None) -> LocalSettings:
    """Return the settings. Raises schemas.environment.EnvironmentProblem when a variable cannot be used."""
    return read(LocalSettings, os.environ if environ is None else environ)
