"""The running stack from outside and from each of its networks: closed but for what is listed here."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.stack.closed import assert_closed, reached, service_of
from tests.deploy.stack.daemon import ROOT, docker
from tests.deploy.stack.deployed import Deployed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

_REDIS = {f"redis-{number}": {6379, 16379} for number in range(1, 7)}
_AIRFLOW = {"postgres": {5432}, "airflow-api": {8080}}
#: What a container in a network reaches; everything else is a finding.
REACHED = {
    # 9109: what NGINX counts for Prometheus (deploy/nginx/README.md).
    "edge": {"nginx": {8080, 8443, 8082, 9109}, "edge": {8081}},
    "data": {**_REDIS, "edge": {8081}},
    "admin": _AIRFLOW,
}
#: What is published, and whether beyond loopback.
PUBLISHED = {"nginx": {8080, 8443}, "airflow-api": {8080}}


@pytest.fixture
def inspected(stack: Deployed) -> list[dict[str, Any]]:
    """What Docker says of each running container."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", *stack.containers()))
    return found


def test_no_container_runs_as_root_or_writes_its_root(inspected: list[dict[str, Any]]) -> None:
    """The user, as the kernel has it of the first process; a file below / cannot be made; no capability is left."""
    for container in inspected:
        assert_closed(container)


def test_only_what_is_listed_is_published(inspected: list[dict[str, Any]]) -> None:
    """NGINX' two ports and Airflow's pages, and those on loopback."""
    published = {}
    for container in inspected:
        bound = container["NetworkSettings"]["Ports"] or {}
        ports = {int(port.split("/")[0]): hosts for port, hosts in bound.items() if hosts}
        if ports:
            published[service_of(container)] = set(ports)
        if service_of(container) == "airflow-api":
            assert {host["HostIp"] for hosts in ports.values() for host in hosts} == {"127.0.0.1"}
    assert published == PUBLISHED


@pytest.mark.parametrize("network", sorted(REACHED))
def test_a_port_scan_from_a_network_finds_what_is_listed(
    stack: Deployed, inspected: list[dict[str, Any]], network: str
) -> None:
    """From a container in the network: every port that anybody listens on, tried at every address of all networks."""
    assert reached(f"{stack.project}_{network}", inspected) == REACHED[network]


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("edge", ("set", "shelf:planted", "1")),
        ("edge", ("del", "shelf:live")),
        ("edge", ("get", "elsewhere:live")),
        ("edge", ("flushall",)),
        ("edge", ("config", "get", "*")),
        ("loader", ("set", "elsewhere:planted", "1")),
        ("loader", ("flushall",)),
        ("monitor", ("get", "shelf:live")),
        ("admin", ("flushall",)),
    ],
)
def test_a_user_of_redis_may_no_more_than_it_needs(
    stack: Deployed, user: str, command: tuple[str, ...]
) -> None:
    """Redis refuses by NOPERM what is not the user's: writing, another namespace, emptying, settings."""
    assert stack.redis("redis-1", user, *command).startswith("NOPERM")


def test_the_edges_user_reads_its_namespace(stack: Deployed) -> None:
    """What it needs is granted: whoever asks the node that has it, or another that says where it is."""
    assert not stack.redis("redis-1", "edge", "-c", "exists", "shelf:live").startswith("NOPERM")


def test_nobody_without_a_name_gets_into_redis(stack: Deployed) -> None:
    """Plain TCP has no answer; TLS without a user is told to authenticate."""
    node = stack.containers("redis-1")[0]
    base = ["docker", "exec", node, "redis-cli", "-h", "redis-1"]
    plain = subprocess.run([*base, "ping"], check=False, capture_output=True, text=True, timeout=60)
    assert "PONG" not in plain.stdout
    tls = [*base, "--tls", "--cacert", "/run/secrets/redis_ca", "ping"]
    secure = subprocess.run(tls, check=False, capture_output=True, text=True, timeout=60)
    assert "NOAUTH" in secure.stdout + secure.stderr


@pytest.mark.parametrize("value", ["", "short", "change-me-change-me-change-me"])
def test_the_guard_refuses_a_secret_before_anything_starts(
    stack: Deployed, tmp_path: Path, value: str
) -> None:
    """The one-shot service ends with an error that names the file; everything else waits for it to succeed."""
    secrets = tmp_path / "secrets"
    shutil.copytree(stack.secrets, secrets)
    (secrets / "postgres_password").write_text(value)
    settings = tmp_path / ".env"
    kept = (stack.folder / ".env").read_text()
    settings.write_text(kept.replace(str(stack.secrets), str(secrets)))
    refused = subprocess.run(
        [
            "docker-compose", "--project-name", stack.project,
            "--project-directory", ".", "--file", "containers/compose.yaml",
            "--env-file", str(settings), "run", "--rm", "-T", "guard",
        ],
        cwd=ROOT / "deploy",
        env=stack.environment,
        check=False,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "postgres_password is empty, shorter than" in refused.stderr + refused.stdout
