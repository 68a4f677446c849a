"""Every pod of Redis goes and comes back at another address: the cluster is whole again, by its Services' addresses."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_ports
from tests.deploy.kubernetes.rendered import ROOT, Rendered
from tests.deploy.kubernetes.services import Address, service

pytestmark = pytest.mark.slow

NODES = range(1, 7)
BUS = 10_000


@dataclass(frozen=True)
class Pods:
    """Where everything of six nodes is: secrets, data, the Services' port, what stands behind each Service."""

    folder: Path
    container: dict[str, Any]
    port: int
    backs: dict[Address, list[Address]]

    @property
    def secrets(self) -> Path:
        """Passwords and certificates, made out to the Services' addresses."""
        return self.folder / "secrets"

    @contextmanager
    def running(self, generation: int) -> Iterator[None]:
        """Run six nodes at addresses of this generation, each with its data, until the block ends."""
        for (address, port), back in self.backs.items():
            back[0] = (f"127.62.{generation}.{address.rpartition('.')[2]}", port)
        pods = [self._start(number, generation) for number in NODES]
        try:
            yield
        finally:
            for pod in pods:
                pod.terminate()
            for pod in pods:
                pod.wait(timeout=60)

    def form(self) -> None:
        """Run the Job's script, which makes the cluster or waits until it is whole."""
        nodes = " ".join(f"{_service(number)}:{self.port}" for number in NODES)
        environment = {**self._shared(), "REDIS_NODES": nodes, "FORM_DEADLINE_S": "120"}
        subprocess.run([str(ROOT / "deploy/redis/form.sh")], env=environment, check=True)

    def ask(self, *words: str) -> set[str]:
        """Return what the nodes answer the loader, each asked at its Service's address."""
        password = (self.secrets / "redis_loader_password").read_text().strip()
        command = ["redis-cli", "-p", str(self.port), "--user", "loader", "--no-auth-warning", "--tls",
                   "--cacert", str(self.secrets / "redis_ca")]  # fmt: skip
        return {
            subprocess.run(
                [*command, "-h", _service(number), *words],
                env={**os.environ, "REDISCLI_AUTH": password},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for number in NODES
        }

    def _start(self, number: int, generation: int) -> subprocess.Popen[bytes]:
        own = self.folder / f"redis-{number}"
        own.mkdir(exist_ok=True)
        environment = {
            **self._shared(),
            "NODE_NAME": f"redis-{number}",
            "NODE_NAMESPACE": "shelves",
            "REDIS_RUN": str(own),
            "REDIS_DATA": str(own),
        }
        files = str(ROOT / "deploy" / "redis")
        command = [
            *self.container["command"],
            *(part.replace("/opt/redis", files) for part in self.container["args"]),
            *("node", "--bind", f"127.62.{generation}.{number}"),
        ]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    def _shared(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "NIGHTSHELF_REDIS_TLS": "true",
            "NIGHTSHELF_NAMESPACE": "shelf",
            "NODE_PORT": str(self.port),
            "REDIS_SECRETS": str(self.secrets),
        }


@pytest.fixture
def pods(rendered: dict[str, Rendered], tmp_path: Path) -> Iterator[Pods]:
    """Six Services on loopback, their names known to `getent` as DNS knows them in a cluster."""
    [container] = [one for _, one, _ in rendered["small"].containers() if one["name"] == "redis"]
    resolver = tmp_path / "bin" / "getent"
    resolver.parent.mkdir()
    lines = "".join(f'    "hosts redis-{n}.shelves") echo "{_service(n)} $2" ;;\n' for n in NODES)
    resolver.write_text(f'#!/bin/sh\ncase "$1 $2" in\n{lines}    *) exit 2 ;;\nesac\n')
    resolver.chmod(0o755)
    secrets = str(tmp_path / "secrets")
    environment = {**os.environ, "NIGHTSHELF_SECRETS": secrets}
    subprocess.run([str(ROOT / "deploy/secrets.sh"), "make"], env=environment, check=True)
    subprocess.run(
        [str(ROOT / "deploy/certificates.sh"), "redis", secrets, *map(_service, NODES)], check=True
    )
    [port] = free_ports(1)
    fronts = [(_service(number), port + offset) for number in NODES for offset in (0, BUS)]
    backs: dict[Address, list[Address]] = {front: [front] for front in fronts}
    with ExitStack() as stack:
        for front, back in backs.items():
            stack.enter_context(service(front, back))
        yield Pods(tmp_path, container, port, backs)


def _service(number: int) -> str:
    return f"127.61.0.{number}"


def test_a_cluster_whose_pods_all_moved_is_whole_again(pods: Pods) -> None:
    """What was loaded is there after all six nodes ended and started at other addresses, with nothing told anew."""
    with pods.running(generation=1):
        pods.form()
        assert "OK" in pods.ask("SET", "shelf:kept", "seven")
    with pods.running(generation=2):
        pods.form()
        assert "seven" in pods.ask("GET", "shelf:kept")
        assert "OK" in pods.ask("SET", "shelf:kept", "eight")
