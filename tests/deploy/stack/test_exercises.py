"""What happens to a stack in its life, under traffic: no request fails, a fallback counts as an answer."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from tests.deploy.stack.daemon import ROOT, docker
from tests.deploy.stack.deployed import USERS, VERSIONS, Deployed, first_answer_s, memory_mb
from tests.deploy.stack.traffic import LEAST, Traffic, traffic
from tests.harness.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def _ended(stack: Deployed, exercise: str, finish: Callable[[], Traffic]) -> Traffic:
    seen = finish()
    print(
        f"{exercise}: {seen.requests} requests, {seen.fallback} from a fallback, "
        f"{seen.sent_again} sent again, {len(seen.failures)} failed {sorted(set(seen.failures))[:5]}"
    )
    assert seen.requests >= LEAST
    assert seen.failures == [], stack.compose("logs", "--no-color", "--tail", "200", "nginx").stdout
    return seen


def _under_traffic(
    stack: Deployed,
) -> AbstractContextManager[tuple[Traffic, Callable[[], Traffic]]]:
    return traffic(stack.address, USERS)


def test_replicas_come_and_go_by_number(stack: Deployed) -> None:
    """Two, four, one, two replicas."""
    with _under_traffic(stack) as (seen, finish):
        for number in (4, 1, 2):
            stack.run("scale", str(number))
            assert len(stack.containers("edge")) == number
            seen.some_more()
        _ended(stack, "scale to 4, 1, 2", finish)


def test_one_edge_is_killed(stack: Deployed) -> None:
    """The other answers, and `scale` puts one in the place of the one that is gone."""
    with _under_traffic(stack) as (seen, finish):
        docker("kill", stack.containers("edge")[0])
        seen.some_more()
        stack.run("scale", "2")
        until(lambda: len(stack.containers("edge")) == 2, "two replicas", 60)
        _ended(stack, "one edge killed", finish)


def test_one_primary_of_redis_is_killed(stack: Deployed) -> None:
    """Its Redis replica takes over: lists come from the store again while the primary is gone."""
    nodes = [f"redis-{number}" for number in range(1, 7)]
    primary = next(node for node in nodes if _is_primary(stack, node))
    witness = next(node for node in nodes if node != primary)
    container = stack.containers(primary)[0]
    try:
        with _under_traffic(stack) as (seen, finish):
            docker("kill", container)
            until(lambda: _taken_over(stack, witness, primary), "a new primary", 120, 0.5)
            until(lambda: _all_personal(stack), "every list from the store", 120, 1)
            seen.some_more()
            _ended(stack, "one Redis primary killed", finish)
    finally:
        docker("start", container)
        stack.wait_whole()


def _is_primary(stack: Deployed, node: str) -> bool:
    return "role:master" in stack.redis(node, "admin", "info", "replication")


def _taken_over(stack: Deployed, witness: str, lost: str) -> bool:
    """Say whether a node that is there knows the other as lost, and an owner of every slot all the same."""
    known = stack.redis(witness, "admin", "cluster", "nodes").splitlines()
    (line,) = (line for line in known if f",{lost} " in line or f",{lost}," in line)
    slots = stack.redis(witness, "admin", "cluster", "info")
    return "fail" in line.split()[2].split(",") and "cluster_slots_ok:16384" in slots


def _all_personal(stack: Deployed) -> bool:
    return all(
        stack.list_of(user, 11 + user % 40)["reason"] is None for user in range(1, USERS + 1, 3)
    )


def test_to_another_version_and_back(stack: Deployed) -> None:
    """`roll`: replicas are exchanged for those of the other image, and again for those of the first."""
    with _under_traffic(stack) as (seen, finish):
        for version in (VERSIONS[1], VERSIONS[0]):
            stack.run("roll", version)
            images = {
                container["Config"]["Image"]
                for container in json.loads(docker("inspect", *stack.containers("edge")))
            }
            assert images == {f"nightshelf/serving:{version}"}
            seen.some_more()
        _ended(stack, "roll to another version and back", finish)


def test_the_rest_follows_to_another_version_and_back(stack: Deployed) -> None:
    """`roll`, the version in `.env`, `up`: every container of an image of ours is of that version; the same lists."""
    before = stack.lists()
    for version in (VERSIONS[1], VERSIONS[0]):
        with stack.settings(NIGHTSHELF_VERSION=version):
            stack.run("roll", version)
            stack.run("up")
            assert _versions(stack) == {version}
            stack.wait_personal()
            assert stack.lists() == before


def _versions(stack: Deployed) -> set[str]:
    described = json.loads(docker("inspect", *stack.containers()))
    images = [container["Config"]["Image"] for container in described]
    return {image.split(":")[1] for image in images if image.startswith("nightshelf/")}


def test_the_password_of_airflows_pages_is_exchanged(stack: Deployed) -> None:
    """The file written, the three containers taken away, `up`: the new one opens the pages, the old one does not."""
    file = stack.secrets / "airflow_password"
    old = file.read_text().strip()
    file.write_text(secrets.token_hex() + "\n")
    parts = ("airflow-api", "airflow-scheduler", "airflow-dag-processor")
    docker("rm", "--force", *(container for part in parts for container in stack.containers(part)))
    stack.run("up")
    assert stack.airflow.get("/dags")["dags"]
    login = {"username": "admin", "password": old}
    assert stack.airflow.call("POST", "/auth/token", login, token=False)[0] == 401


def test_a_version_that_does_not_get_ready_is_not_rolled_out(stack: Deployed) -> None:
    """Its replicas go again, and nobody saw them."""
    docker("tag", f"nightshelf/proxy:{VERSIONS[0]}", "nightshelf/serving:test-broken")
    before = set(stack.containers("edge"))
    hasty = replace(stack, environment={**stack.environment, "ROLL_DEADLINE_S": "5"})
    with _under_traffic(stack) as (_, finish):
        refused = hasty.run("roll", "test-broken", check=False)
        assert refused.returncode == 1
        assert "the running one stays" in refused.stderr
        assert set(stack.containers("edge")) == before
        _ended(stack, "roll to a broken version", finish)


def test_the_edges_password_is_exchanged(stack: Deployed) -> None:
    """The steps of deploy/containers/README.md; afterwards the old password opens nothing."""
    file = stack.secrets / "redis_edge_password"
    old = file.read_text().strip()
    with _under_traffic(stack) as (seen, finish):
        for step in ("add", "swap", "drop"):
            _secrets(stack, step, "redis_edge_password")
            if step == "swap":
                stack.run("roll", VERSIONS[0])
            else:
                stack.run("users")
            seen.some_more()
        _ended(stack, "password of the edge exchanged", finish)
    assert file.read_text().strip() != old
    said = docker(
        "exec", "--env", f"REDISCLI_AUTH={old}", stack.containers("redis-1")[0], "redis-cli",
        *("-h", "redis-1", "--tls", "--cacert", "/run/secrets/redis_ca"),
        *("--user", "edge", "--no-auth-warning", "ping"),
    )  # fmt: skip
    assert "PONG" not in said


def _secrets(stack: Deployed, *verb: str) -> None:
    environment = {**os.environ, "NIGHTSHELF_SECRETS": str(stack.secrets)}
    subprocess.run([str(ROOT / "deploy/secrets.sh"), *verb], env=environment, check=True)


def test_all_of_redis_is_lost(stack: Deployed) -> None:
    """Six nodes gone with their volumes: `up` and `jobs restore` give the same lists; meanwhile a fallback answers."""
    before = stack.lists()
    nodes = [f"redis-{number}" for number in range(1, 7)]
    with _under_traffic(stack) as (seen, finish):
        started = time.monotonic()
        stack.compose("kill", *nodes)
        stack.compose("rm", "--force", *nodes)
        docker("volume", "rm", *(f"{stack.project}_{node}" for node in nodes))
        seen.some_more()
        stack.run("up")
        stack.run("jobs", "restore")
        stack.wait_personal()
        print(f"all of Redis lost: whole again after {time.monotonic() - started:.0f} s")
        assert _ended(stack, "all of Redis lost", finish).fallback > 0
    assert stack.lists() == before


def test_the_stack_survives_a_restart(stack: Deployed) -> None:
    """Down and up again: the same lists from the same release, without a load."""
    before = stack.lists()
    memory = memory_mb(stack)
    print(f"memory at rest: {sum(memory.values()):.0f} MB in {len(memory)} containers: {memory}")
    print(f"from `up` to the first list: {first_answer_s(stack):.0f} s")
    stack.wait_personal()
    assert stack.lists() == before
