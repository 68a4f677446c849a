"""The edge replica's settings, read from the environment here and nowhere else.

In: variables with the prefix `NIGHTSHELF_`. Out: one frozen `Settings`. Guarantees that every default is written
once and that a bad value is refused with its variable's name.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas import keys
from schemas.environment import Node, read


@dataclass(frozen=True)
class Settings:
    """Settings of an edge replica; see the table in serving/README.md."""

    edge_host: str = "127.0.0.1"
    edge_port: int = 8081
    edge_socket: Path | None = None
    edge_instance: str | None = None
    edge_workers: int = 1
    #: Where the workers of one replica meet; set by the replica itself for its workers.
    edge_workers_folder: Path | None = None
    redis: tuple[Node, ...] = (Node("127.0.0.1", 7001),)
    redis_user: str | None = None
    #: Never part of a printed `Settings`.
    redis_password: str | None = field(default=None, repr=False)
    redis_tls: bool = False
    #: Who signed the certificates of Redis; without it whom this machine trusts.
    redis_ca: Path | None = None
    namespace: str = keys.DEFAULT_NAMESPACE
    lookup_deadline_ms: int = 50
    pointer_refresh_ms: int = 250
    pointer_max_age_s: int = 30
    cache_max_age_s: int = 5
    drain_s: float = 1.0

    @property
    def instance(self) -> str:
        """The name under which this replica speaks of itself."""
        return self.edge_instance or str(self.edge_socket or f"{self.edge_host}:{self.edge_port}")


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings. Raises schemas.environment.EnvironmentProblem when a variable cannot be used."""
    return read(Settings, os.environ if environ is None else environ)
