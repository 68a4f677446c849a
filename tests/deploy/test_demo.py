"""The demo and the local stack as a newcomer meets them, on ports and folders of the test's own."""

import gzip
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from deploy.local.monitors import MonitoringSettings
from tests.conftest import free_ports
from tests.harness import excerpts, waiting

_MONITORING_PORTS = (
    "NIGHTSHELF_AIRFLOW_STATSD_PORT",
    *(f"NIGHTSHELF_{field.name.upper()}" for field in fields(MonitoringSettings)),
)

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A packed source, where this test's stack listens and keeps its files; what it started is stopped afterwards."""
    goodbooks = excerpts.write_current(tmp_path / "goodbooks")
    packed = gzip.compress((goodbooks / "ratings.csv").read_bytes())
    (goodbooks / "ratings.csv.gz").write_bytes(packed)
    (goodbooks / "ratings.csv").unlink()
    ports = free_ports(8)
    while ports[7] - ports[0] != 7:  # the stack takes ports in a row
        ports = free_ports(len(ports) + 8)[-8:]
    others = [port for port in free_ports(len(ports) + 40) if port not in ports]
    found = {
        **os.environ,
        "GOODBOOKS_DIR": str(goodbooks),
        "NIGHTSHELF_ARTIFACTS": str(tmp_path / "artifacts"),
        "NIGHTSHELF_LOCAL_FOLDER": str(tmp_path / "run"),
        "NIGHTSHELF_LOCAL_PORT": str(ports[0]),
        "NIGHTSHELF_LOCAL_EDGE_PORT": str(ports[1]),
        "NIGHTSHELF_LOCAL_REDIS_PORT": str(ports[3]),
        "NIGHTSHELF_LOCAL_REDIS_PRIMARIES": "3",
        "NIGHTSHELF_LOCAL_BATCH_PORT": str(ports[6]),
        "NIGHTSHELF_LOCAL_NGINX_METRICS_PORT": str(ports[7]),
        # A busy machine must not make a replica look as if it hung, and nobody here is kept waiting.
        "NIGHTSHELF_NGINX_READ_TIMEOUT_MS": "20000",
        "NIGHTSHELF_NGINX_RATE_PER_S": "100000",
        "NIGHTSHELF_NGINX_BURST": "100000",
        **{name: str(port) for name, port in zip(_MONITORING_PORTS, others, strict=False)},
    }
    yield found
    _python(found, "deploy.local.monitoring", "down")
    _python(found, "deploy.local.stack", "down")


def _python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _get(environment: dict[str, str], path: str) -> dict[str, object]:
    url = f"http://127.0.0.1:{environment['NIGHTSHELF_LOCAL_PORT']}{path}"
    with urllib.request.urlopen(url, timeout=60) as answer:  # loopback
        content: dict[str, object] = json.load(answer)
    return content


def test_the_demo_serves_real_lists_and_finds_its_own_work_done(
    environment: dict[str, str],
) -> None:
    """From a folder to lists over HTTP; again the same release, loaded already; down stops everything."""
    first = _python(environment, "deploy.local.demo")
    assert first.returncode == 0, first.stderr[-3000:]
    outcome = json.loads(first.stdout.splitlines()[0])
    answer = _get(environment, "/v1/users/58/recommendations?limit=5")
    assert answer["release"] == outcome["release"]
    assert "user 58:" in first.stdout
    assert "unknown_user" in first.stdout
    base = f"http://127.0.0.1:{environment['NIGHTSHELF_LOCAL_PORT']}/"
    with urllib.request.urlopen(base, timeout=60) as page:  # loopback
        assert page.headers["Server"] == "nginx"
        assert b"<title>Nightshelf" in page.read()
    _restart_its_replicas(environment)
    _see_its_monitoring(environment)
    again = _python(environment, "deploy.local.demo")
    assert again.returncode == 0, again.stderr[-3000:]
    repeated = json.loads(again.stdout.splitlines()[0])
    assert repeated["release"] == outcome["release"]
    assert (repeated["already_loaded"], repeated["already_live"]) == (True, True)
    assert _python(environment, "deploy.local.stack", "down").returncode == 0
    status = _python(environment, "deploy.local.stack", "status")
    assert (status.returncode, "does not run" in status.stderr) == (1, True)
    with socket.socket() as probe:
        port = int(environment["NIGHTSHELF_LOCAL_PORT"])
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def _restart_its_replicas(environment: dict[str, str]) -> None:
    """`make reload` while somebody asks all the time: both replicas are new, and every request had its answer."""
    before = [_started(environment, replica) for replica in range(2)]
    enough = threading.Event()

    def ask(first: int) -> int:
        """Ask for one list after another, none of which is in the cache; each must come."""
        for answered in count():
            if enough.is_set():
                return answered
            user, limit = 1 + (first + answered) % 1000, 1 + answered // 1000 % 100
            assert "items" in _get(environment, f"/v1/users/{user}/recommendations?limit={limit}")
        raise AssertionError

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, 300 * number) for number in range(3)]
        try:
            reloaded = _python(environment, "deploy.local.stack", "reload")
        finally:
            enough.set()
    assert reloaded.returncode == 0, reloaded.stderr[-3000:]
    assert all(asked.result() > 0 for asked in asking)
    after = [_started(environment, replica) for replica in range(2)]
    assert all(new > old for new, old in zip(after, before, strict=True)), (before, after)


def _started(environment: dict[str, str], replica: int) -> float:
    """Return when a replica's process started."""
    port = int(environment["NIGHTSHELF_LOCAL_EDGE_PORT"]) + replica
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port}/metrics", timeout=60
    ) as answer:  # loopback
        found = re.search(rb"^process_start_time_seconds (\S+)$", answer.read(), re.MULTILINE)
    assert found
    return float(found[1])


def _see_its_monitoring(environment: dict[str, str]) -> None:
    """`make monitoring`: Prometheus asks every part of the stack, a second time changes nothing, down ends it."""
    started = _python(environment, "deploy.local.monitoring", "up")
    assert started.returncode == 0, started.stderr[-3000:]
    prometheus = f"http://127.0.0.1:{environment['NIGHTSHELF_LOCAL_PROMETHEUS_PORT']}"
    assert prometheus in started.stdout
    wanted = {
        *("prometheus", "alertmanager", "edge", "batch", "nginx", "node", "processes", "statsd"),
        "redis",
    }

    def unseen() -> set[str]:
        found = _query(prometheus, "up == 1 unless on (job, instance) redis_up == 0")
        return wanted - {series["metric"]["job"] for series in found}

    waiting.until(lambda: not unseen(), "every part of the stack is asked", 120)
    assert _query(prometheus, "nightshelf_batch_releases")[0]["value"][1] == "1"
    waiting.until(
        lambda: _query(prometheus, "nightshelf:data_age_seconds"), "rules are evaluated", 90
    )
    assert _python(environment, "deploy.local.monitoring", "up").returncode == 0
    assert _python(environment, "deploy.local.monitoring", "down").returncode == 0
    status = _python(environment, "deploy.local.monitoring", "status")
    assert (status.returncode, "does not run" in status.stderr) == (1, True)


def _query(prometheus: str, query: str) -> list[dict[str, Any]]:
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # loopback
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def test_parts_that_would_share_a_port_are_named(environment: dict[str, str]) -> None:
    """Two edge replicas from 8081 up and Redis from 8082 up cannot be."""
    first = int(environment["NIGHTSHELF_LOCAL_EDGE_PORT"])
    found = _python(
        {**environment, "NIGHTSHELF_LOCAL_REDIS_PORT": str(first + 1)}, "deploy.local.stack", "up"
    )
    assert found.returncode == 1
    assert f"port {first + 1} is wanted by two parts" in found.stderr


def test_a_port_in_use_is_named(environment: dict[str, str]) -> None:
    """Which port, and which variable chooses another; nothing is started."""
    port = int(environment["NIGHTSHELF_LOCAL_PORT"])
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        found = _python(environment, "deploy.local.stack", "up")
    assert found.returncode == 1
    assert f"port {port} is in use" in found.stderr
    assert "NIGHTSHELF_LOCAL_PORT" in found.stderr
    assert "Traceback" not in found.stderr
