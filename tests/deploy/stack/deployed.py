"""The whole stack, running from images, and what tests ask of it.

In: a folder. Out: a stack that is up, with its settings and secrets in that folder; its containers, networks and
volumes are gone after the block. Guarantees that nothing of this machine's own stack is touched: another project,
network and ports, and images of versions of its own.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import free_ports
from tests.dags.airflow_client import AirflowClient
from tests.deploy.stack import daemon
from tests.deploy.stack.address import Address
from tests.deploy.stack.daemon import ROOT, docker
from tests.harness.waiting import until

VERSIONS = ("test-1", "test-2")
USERS = 300
_SYNTHETIC = ("--users", str(USERS), "--books", "150", "--ratings", "20000", "--seed", "7")
#: Data arrives on these days; the release is of the second, the third is left for Airflow.
DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")
_DATA_NETWORK = "172.31.218"


@dataclass(frozen=True)
class Deployed:
    """A stack of a name and the folder of its settings and secrets."""

    project: str
    folder: Path
    environment: dict[str, str]
    address: Address
    airflow_port: int

    @property
    def airflow(self) -> AirflowClient:
        """A session at Airflow's pages on loopback."""
        password = (self.secrets / "airflow_password").read_text().strip()
        return AirflowClient(f"http://127.0.0.1:{self.airflow_port}", password)

    @property
    def secrets(self) -> Path:
        """The folder of the secrets."""
        return self.folder / "secrets"

    def run(self, *verb: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run deploy/containers/stack.sh; what it says is in the error if it fails."""
        done = subprocess.run(
            [str(ROOT / "deploy/containers/stack.sh"), *verb],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{verb}: {done.stdout}\n{done.stderr}"
        return done

    @contextmanager
    def settings(self, **changed: str) -> Iterator[None]:
        """Change variables of the stack's `.env` for a block; what runs is left as it is."""
        file = self.folder / ".env"
        before = file.read_text()
        file.write_text(before + "".join(f"{name}={value}\n" for name, value in changed.items()))
        try:
            yield
        finally:
            file.write_text(before)

    def compose(
        self, *arguments: str, check: bool = True, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run docker-compose as deploy/containers/stack.sh does."""
        command = [
            "docker-compose", "--project-name", self.project,
            "--project-directory", ".", "--file", "containers/compose.yaml",
            "--env-file", str(self.folder / ".env"),
        ]  # fmt: skip
        return subprocess.run(
            [*command, *arguments],
            cwd=ROOT / "deploy",
            env={**self.environment, "COMPOSE_PROFILES": "proxy", **(variables or {})},
            capture_output=True,
            text=True,
            check=check,
        )

    def containers(self, service: str = "") -> list[str]:
        """Return the ids of the running containers of a service, or of all."""
        filters = ["--filter", f"label=com.docker.compose.project={self.project}"]
        if service:
            filters += ["--filter", f"label=com.docker.compose.service={service}"]
        return docker("ps", "--quiet", "--no-trunc", *filters).split()

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and content of an answer through NGINX over TLS."""
        connection = self.address.connection()
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.load(response)
        finally:
            connection.close()

    def list_of(self, user: int, limit: int = 10) -> dict[str, Any]:
        """Return a user's list; fails if there is none."""
        status, answer = self.get(f"/v1/users/{user}/recommendations?limit={limit}")
        assert status == 200, answer
        return answer

    def lists(self) -> dict[int, dict[str, Any]]:
        """Return the lists of some users, as the store has them."""
        return {user: self.own_list_of(user) for user in range(1, USERS + 1, 10)}

    def own_list_of(self, user: int) -> dict[str, Any]:
        """Return a user's own list; what a busy machine answers from a fallback instead is asked for again."""
        found: list[dict[str, Any]] = []

        def own() -> bool:
            found.append(self.list_of(user))
            return found[-1]["reason"] is None

        until(own, f"the list of user {user} from the store", 120, 0.5)
        return found[-1]

    def redis(self, node: str, user: str, *command: str) -> str:
        """Return what redis-cli says in a node's container, as one of the users."""
        script = (
            f'REDISCLI_AUTH=$(head -n 1 /run/secrets/redis_{user}_password) exec redis-cli -h "$NODE_NAME" '
            f'--tls --cacert /run/secrets/redis_ca --no-auth-warning --user {user} "$@"'
        )
        container = self.containers(node)[0]
        return docker("exec", container, "sh", "-c", script, "redis-cli", *command)

    def wait_whole(self) -> None:
        """Wait until every node of the Redis Cluster is there, in sync and known to all."""
        done = self.compose("run", "--rm", "--no-deps", "-T", "redis-form", check=False)
        assert done.returncode == 0, done.stderr

    def wait_personal(self) -> None:
        """Wait until a list comes from the store again."""
        until(lambda: self.list_of(1, 50)["reason"] is None, "a list from the store", 120, 0.5)


@contextmanager
def deployed(folder: Path) -> Iterator[Deployed]:
    """Bring up the stack with two replicas of the edge and TLS everywhere; take it away after the block."""
    variables = daemon.make_images(folder, VERSIONS)
    project = f"nightshelf-test-{os.getpid()}"
    http, https, airflow = free_ports(3)
    secrets = folder / "secrets"
    settings = {
        **variables,
        "NIGHTSHELF_PUBLIC_URL": f"https://localhost:{https}",
        "NIGHTSHELF_HTTP": f"127.0.0.1:{http}",
        "NIGHTSHELF_HTTPS": f"127.0.0.1:{https}",
        "NIGHTSHELF_AIRFLOW_PORT": str(airflow),
        "NIGHTSHELF_DATA_NETWORK": _DATA_NETWORK,
        "NIGHTSHELF_EDGES": "2",
        "NIGHTSHELF_REDIS_TLS": "true",
        "NIGHTSHELF_REDIS_MEMORY": "64mb",
        "NIGHTSHELF_SECRETS": str(secrets),
        "NIGHTSHELF_ACTIONS": str(folder / "audit.jsonl"),
        "NIGHTSHELF_VERSION": VERSIONS[0],
        "NIGHTSHELF_RATE_PER_S": "100000",
        "NIGHTSHELF_BURST": "100000",
        # Two cores for thirteen containers and for the clients: a replica may wait longer for its turn.
        "NIGHTSHELF_READ_TIMEOUT_MS": "8000",
    }
    written = "".join(f"{name}={value}\n" for name, value in settings.items())
    environment = {**daemon.environment(folder), "COMPOSE_PROJECT_NAME": project}
    (folder / ".env").write_text(written)
    subprocess.run(
        [str(ROOT / "deploy/secrets.sh"), "make"],
        env={**environment, "NIGHTSHELF_SECRETS": str(secrets)},
        check=True,
    )
    subprocess.run(
        [str(ROOT / "deploy/certificates.sh"), "edge", str(secrets), "localhost", "127.0.0.1"],
        check=True,
    )
    address = Address(https, str(secrets / "edge_certificate"))
    stack = Deployed(project, folder, environment, address, airflow)
    try:
        stack.run("up")
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)


def publish(stack: Deployed) -> str:
    """Compute a small release inside the stack, make it live and return its id."""
    stack.run("jobs", "synthesize", "--out", "/artifacts/source", *_SYNTHETIC)
    days = ("--from", DAYS[0], "--to", DAYS[-1], "--first-day-share", "0.9")
    stack.run("jobs", "replay", "--source", "/artifacts/source", *days)
    done = stack.run("jobs", "run", "--partition", DAYS[1])
    outcome = json.loads(done.stdout.splitlines()[-1])
    release: str = outcome["release"]
    until(lambda: stack.list_of(1)["release"] == release, f"{release} is served", 60, 0.5)
    return release


def memory_mb(stack: Deployed) -> dict[str, float]:
    """Return the memory of each running container in MB, by its name."""
    units = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}
    shown = docker(
        "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *stack.containers()
    )
    found = {}
    for line in shown.splitlines():
        name, used, *_ = line.split()
        found[name] = float(used[:-3]) * units[used[-3:]]
    return found


def first_answer_s(stack: Deployed) -> float:
    """Stop the stack, start it again and return the seconds until a list of the release comes through NGINX."""
    stack.run("down")
    started = time.monotonic()
    starting = subprocess.Popen(
        [str(ROOT / "deploy/containers/stack.sh"), "up"],
        env=stack.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: _gives_a_list(stack), "a list", 280, 0.2)
    took = time.monotonic() - started
    assert starting.wait(timeout=280) == 0
    return took


def _gives_a_list(stack: Deployed) -> bool:
    try:
        status, answer = stack.get("/v1/users/1/recommendations")
    except OSError:
        return False
    return status == 200 and answer["release"] is not None
