"""The monitoring beside the stack: everything that runs is asked and answers, and alerts get to Alertmanager.

Grafana is in none of it (no image, no package): tests/monitoring/test_dashboards.py holds what it is given.
"""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import free_ports
from tests.deploy.stack.closed import assert_closed, reached
from tests.deploy.stack.daemon import docker
from tests.deploy.stack.deployed import Deployed, memory_mb
from tests.harness.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

_PARTS = (
    "prometheus", "alertmanager", "batch-exporter", "redis-exporter", "nginx-exporter",
    "blackbox-exporter", "postgres-exporter", "statsd", "node-exporter", "process-exporter",
)  # fmt: skip
_AIRFLOW = ("airflow-api", "airflow-scheduler", "airflow-dag-processor")
#: Job -> how many targets the stack has of it.
_TARGETS = {
    "prometheus": 1, "alertmanager": 1, "edge": 2, "batch": 1, "nginx": 2, "node": 1, "processes": 1,
    "postgres": 1, "redis": 6, "airflow": 1, "certificate": 1, "statsd": 1,
}  # fmt: skip


_PORTS = {
    "prometheus": {9090}, "alertmanager": {9093}, "batch-exporter": {9108}, "redis-exporter": {9121},
    "nginx-exporter": {9113}, "blackbox-exporter": {9115}, "postgres-exporter": {9187},
    "statsd": {9103}, "node-exporter": {9100}, "process-exporter": {9256},
}  # fmt: skip
#: Which parts a network holds.
_LISTENS = {
    "admin": set(_PORTS),
    "data": {"redis-exporter"},
    "edge": {"prometheus", "nginx-exporter", "blackbox-exporter"},
}


@dataclass(frozen=True)
class Watch:
    """The pages of Prometheus and Alertmanager."""

    prometheus: str
    alertmanager: str

    def get(self, url: str) -> Any:
        """Return what is at an address, decoded."""
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # our own loopback URL
            return json.load(answer)

    def value(self, query: str) -> float | None:
        """Return the value of a query, None where nothing is found or nobody answers yet."""
        asked = urllib.parse.urlencode({"query": query})
        found = self.get(f"{self.prometheus}/api/v1/query?{asked}")["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def down(self) -> dict[str, str]:
        """Return what is not as `_TARGETS` says: a target that is missing or cannot be asked."""
        try:
            found = self.get(f"{self.prometheus}/api/v1/targets")["data"]["activeTargets"]
        except OSError as error:
            return {"prometheus": str(error)}
        down = {t["scrapeUrl"]: t["lastError"] for t in found if t["health"] != "up"}
        for job, count in _TARGETS.items():
            there = sum(target["labels"]["job"] == job for target in found)
            if there != count:
                down[job] = f"{there} targets instead of {count}"
        return down


@pytest.fixture(scope="module")
def watch(empty_stack: Deployed, release: str) -> Iterator[Watch]:
    """Prometheus, Alertmanager and every exporter, with Airflow telling its metrics; gone after the module."""
    assert release
    prometheus, alertmanager = free_ports(7)[5:]
    there = {
        "COMPOSE_PROFILES": "proxy,monitoring",
        "NIGHTSHELF_PROMETHEUS_PORT": str(prometheus),
        "NIGHTSHELF_ALERTMANAGER_PORT": str(alertmanager),
        "NIGHTSHELF_AIRFLOW_STATSD_HOST": "statsd",
    }
    empty_stack.compose("up", "--detach", "--no-deps", *_PARTS, variables=there)
    empty_stack.compose("up", "--detach", "--no-deps", *_AIRFLOW, variables=there)
    try:
        yield Watch(f"http://127.0.0.1:{prometheus}", f"http://127.0.0.1:{alertmanager}")
    finally:
        empty_stack.compose("rm", "--force", "--stop", *_PARTS, variables=there)
        empty_stack.run("up")


def test_everything_is_asked_and_answers(watch: Watch) -> None:
    """Each replica of the edge, each Redis node over TLS, Postgres, NGINX, Airflow, the batch, the host."""
    down: dict[str, str] = {}

    def all_up() -> bool:
        down.clear()
        down.update(watch.down())
        return not down

    until(all_up, down, 240, 1)


@pytest.mark.parametrize(
    "query",
    [
        "min(redis_up) == 1 and count(redis_up) == 6",
        "pg_up == 1",
        "nginx_up == 1 and nginx_connections_active > 0",
        'probe_success{job="airflow"} == 1',
        'probe_ssl_earliest_cert_expiry{job="certificate"} > 0',
        "airflow_scheduler_heartbeat_total > 0",
        "sum(nightshelf_edge_release_info) > 0",
        "sum(nightshelf_batch_release_info) > 0",
        "node_memory_MemAvailable_bytes > 0",
        'count(count by (container) (namedprocess_namegroup_num_procs{program="redis-server"})) == 6',
    ],
)
def test_what_rules_and_dashboards_need_is_there(watch: Watch, query: str) -> None:
    """Behind each target stands what it is asked for, not only an exporter that answers."""
    until(lambda: watch.value(query) is not None, query, 240, 1)


def test_alerts_get_to_alertmanager(watch: Watch) -> None:
    """The dead man's switch is there; nothing says that a part of the stack is down."""

    def names() -> set[str]:
        found = watch.get(f"{watch.alertmanager}/api/v2/alerts")
        return {alert["labels"]["alertname"] for alert in found}

    until(lambda: "DeadMansSwitch" in names(), "the dead man's switch", 240, 1)
    assert not names() & {
        "TargetDown", "EdgeDown", "RedisNodeDown", "PostgresDown", "RedisSlotsUncovered",
    }  # fmt: skip


@pytest.mark.parametrize("network", sorted(_LISTENS))
def test_a_port_scan_finds_the_monitoring_besides(
    watch: Watch, empty_stack: Deployed, network: str
) -> None:
    """Of the monitoring what is listed here; Redis and Postgres from nowhere but where they were reached before."""
    assert watch.value("vector(1)") == 1
    inspected = json.loads(docker("inspect", *empty_stack.containers()))
    found = reached(f"{empty_stack.project}_{network}", inspected)
    assert {name: ports for name, ports in found.items() if name in _PARTS} == {
        name: _PORTS[name] for name in _LISTENS[network]
    }
    assert any(name.startswith("redis-") and name[-1].isdigit() for name in found) == (
        network == "data"
    )
    assert ("postgres" in found) == (network == "admin")


def test_the_monitoring_is_closed_like_the_rest(watch: Watch, empty_stack: Deployed) -> None:
    """No root, nothing that can be written, pages on loopback alone."""
    assert watch.value("vector(1)") == 1
    published: dict[str, set[str]] = {}
    for part in _PARTS:
        (container,) = json.loads(docker("inspect", empty_stack.containers(part)[0]))
        assert_closed(container)
        bound = container["NetworkSettings"]["Ports"] or {}
        hosts = {host["HostIp"] for shown in bound.values() for host in shown or ()}
        if hosts:
            published[part] = hosts
    assert published == {part: {"127.0.0.1"} for part in ("prometheus", "alertmanager")}
    memory = memory_mb(empty_stack)
    parts = sum(
        size for name, size in memory.items() if any(f"_{part}_" in name for part in _PARTS)
    )
    print(f"memory of the monitoring: {parts:.0f} MB of {sum(memory.values()):.0f} MB")
