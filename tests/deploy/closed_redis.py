"""A Redis Cluster as deploy/redis starts it: users, TLS, nobody without a name; on loopback.

In: a folder. Out: running nodes and the settings with which each user reaches them.
"""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas.environment import Node, node_list
from tests.conftest import free_ports

ROOT = Path(__file__).resolve().parents[2]
USERS = ("edge", "loader", "monitor", "replica", "admin")


@dataclass(frozen=True)
class ClosedRedis:
    """The nodes of a closed cluster and the folder of its secrets."""

    nodes: tuple[Node, ...]
    secrets: Path

    def password(self, user: str) -> str:
        """Return the password that is used, the first line of its file."""
        return (self.secrets / f"redis_{user}_password").read_text().splitlines()[0]

    def variables(self, user: str) -> dict[str, str]:
        """Return the settings of a process that comes as this user."""
        return {
            "NIGHTSHELF_REDIS": node_list(self.nodes),
            "NIGHTSHELF_REDIS_USER": user,
            "NIGHTSHELF_REDIS_PASSWORD_FILE": str(self.secrets / f"redis_{user}_password"),
            "NIGHTSHELF_REDIS_TLS": "true",
            "NIGHTSHELF_REDIS_CA": str(self.secrets / "redis_ca"),
            "SSL_CERT_FILE": str(self.secrets / "redis_ca"),
        }

    def apply_users(self) -> None:
        """Tell every running node what the password files say now."""
        for node in self.nodes:
            options = f"-p {node.port} --tls --cacert {self.secrets / 'redis_ca'}"
            subprocess.run(
                [str(ROOT / "deploy/redis/users.sh"), "apply"],
                env={
                    **os.environ,
                    "REDIS_SECRETS": str(self.secrets),
                    "REDIS_CLI_OPTIONS": options,
                },
                check=True,
            )


@contextmanager
def closed_redis(folder: Path, primaries: int = 3) -> Iterator[ClosedRedis]:
    """Primaries that speak TLS only, ended with the block."""
    kept = folder / "secrets"
    kept.mkdir()
    for user in USERS:
        (kept / f"redis_{user}_password").write_text(secrets.token_hex(16) + "\n")
    subprocess.run(
        [str(ROOT / "deploy/certificates.sh"), "redis", str(kept), "localhost", "127.0.0.1"],
        check=True,
    )
    nodes = tuple(Node("localhost", port) for port in free_ports(primaries))
    shared = {**os.environ, "NIGHTSHELF_REDIS_TLS": "true", "REDIS_SECRETS": str(kept)}
    processes = [_started(node, folder / str(node.port), shared) for node in nodes]
    try:
        listed = " ".join(f"127.0.0.1:{node.port}" for node in nodes)
        subprocess.run(
            [str(ROOT / "deploy/redis/form.sh")],
            env={**shared, "REDIS_NODES": listed, "REDIS_REPLICAS": "0", "FORM_DEADLINE_S": "120"},
            check=True,
            capture_output=True,
        )
        yield ClosedRedis(nodes, kept)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=60)


def _started(node: Node, folder: Path, shared: dict[str, str]) -> subprocess.Popen[bytes]:
    folder.mkdir()
    own = {
        "NODE_NAME": node.host,
        "NODE_ADDRESS": "127.0.0.1",
        "NODE_PORT": str(node.port),
        "REDIS_RUN": str(folder),
        "REDIS_DATA": str(folder),
    }
    command = [str(ROOT / "deploy/redis/node.sh"), "--bind", "127.0.0.1"]
    return subprocess.Popen(command, env={**shared, **own}, stdout=subprocess.DEVNULL)
