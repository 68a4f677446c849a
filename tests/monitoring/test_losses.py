"""Parts of a running deployment are killed: the right alert reaches people, and only it."""

import json
import tempfile
from pathlib import Path

import pytest
import redis

from tests.conftest import free_ports
from tests.harness.postgres import running_postgres
from tests.monitoring import exporters
from tests.monitoring.asking import get, until
from tests.monitoring.deployment import Deployment
from tests.monitoring.hearing import AMBIENT, firing, heard, told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_killed_edge_replica_is_told_and_nothing_else(quiet: Deployment) -> None:
    """TargetDown with the replica's address; over once it is back."""
    quiet.kill("edge-b")
    until(lambda: heard(quiet), "something is received")
    received = told(quiet)
    assert {(one["alertname"], one["job"]) for one in received} == {("TargetDown", "edge")}
    assert {one["instance"] for one in received} == {quiet.url("edge-b").removeprefix("http://")}
    quiet.start_edge("edge-b")
    until(lambda: "TargetDown" in quiet.receiver.names("resolved"), "its end is received")
    assert heard(quiet) == {"TargetDown"}


def test_a_killed_exporter_is_told_and_nothing_else(quiet: Deployment) -> None:
    """TargetDown for the host's exporter alone."""
    quiet.kill("node-exporter")
    until(lambda: heard(quiet), "something is received")
    received = told(quiet)
    assert {(one["alertname"], one["job"]) for one in received} == {("TargetDown", "node")}
    # Of the host nothing is known then, which fires, too, and is no second message.
    until(lambda: "HostMetricsAbsent" in firing(quiet), "what follows fires")
    exporters.start(quiet, "node")
    until(lambda: "TargetDown" in quiet.receiver.names("resolved"), "its end is received")
    assert heard(quiet) == {"TargetDown"}


def test_a_killed_database_is_told_and_nothing_else(quiet: Deployment) -> None:
    """With a real Postgres `pg_up` is 1; from its end on PostgresDown is told."""
    (port,) = free_ports(1)
    # Not below pytest's own folder, which is root's alone where root runs the tests.
    with tempfile.TemporaryDirectory(prefix="nightshelf-postgres-") as folder:
        # The exporter of Debian 12 takes no space in a password.
        with running_postgres(Path(folder), port, "a-password") as url:
            quiet.kill("postgres")
            exporters.start_postgres(quiet, url.replace("+psycopg2", ""))
            until(lambda: quiet.ask("pg_up == 1"), "the database is known")
            until(lambda: "PostgresDown" not in firing(quiet), "nothing is said of it")
            quiet.receiver.received.clear()
        until(lambda: "PostgresDown" in quiet.receiver.names(), "its end is received")
    assert heard(quiet) == set()


def test_a_killed_redis_primary_is_told_as_a_lost_node_and_nothing_else(quiet: Deployment) -> None:
    """A Redis replica takes over within seconds: slots never count as uncovered, no user hears of it."""
    port = quiet.redis[0].port
    quiet.kill(f"redis-{port}")
    until(lambda: heard(quiet), "the lost node is received")
    # That there was a failover follows.
    until(lambda: "RedisFailedOver" in firing(quiet), "what follows fires")
    assert heard(quiet) == {"RedisNodeDown"}
    assert {one["instance"] for one in told(quiet)} == {f"127.0.0.1:{port}"}
    assert json.loads(get(quiet.url("edge-a", "/readyz")))["status"] == "ready"
    quiet.start_redis(port)
    until(lambda: "RedisNodeDown" in quiet.receiver.names("resolved"), "its end is received")


def test_a_killed_shard_is_told_and_what_follows_is_not(deployment: Deployment) -> None:
    """With a primary and its Redis replica gone slots are uncovered; lost nodes and fallbacks fire and are silenced."""
    # The failover before counts for 10 minutes.
    known = AMBIENT | {"RedisFailedOver"}
    until(lambda: firing(deployment) <= known, "the deployment is quiet")
    deployment.receiver.received.clear()
    shard = _shard(deployment, deployment.redis[0].port)
    assert len(shard) == 2  # a primary and its Redis replica
    for port in shard:
        deployment.kill(f"redis-{port}")

    def symptoms_fire() -> bool:
        for user in range(1, 30):
            get(deployment.url("edge-a", f"/v1/users/{user}/recommendations"))
        return firing(deployment) >= {"RedisSlotsUncovered", "RedisNodeDown", "FallbackShareHigh"}

    until(symptoms_fire, "cause and symptoms fire")
    until(lambda: "RedisSlotsUncovered" in heard(deployment), "the cause is received")
    assert heard(deployment) - {"RedisFailedOver"} == {"RedisSlotsUncovered"}


def _shard(deployment: Deployment, port: int) -> list[int]:
    """Return the ports of the Redis nodes that hold the same slots as the node on `port`."""
    with redis.Redis(port=deployment.redis[0].port) as client:
        nodes: dict[str, dict[str, str]] = client.execute_command("CLUSTER NODES")
    primaries = {
        int(address.split(":")[1].split("@")[0]): (
            node["node_id"] if "master" in node["flags"] else node["master_id"]
        )
        for address, node in nodes.items()
    }
    return [one for one, primary in primaries.items() if primary == primaries[port]]
