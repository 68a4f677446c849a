"""How fast an edge replica is, beside the floor of the same server and beside a plain handler.

Each figure is a ratio of requests per second in the same run: interleaved, median of five, 48 connections, one process
on uvloop and httptools, user ids drawn over all users by a wrk script. Only 200 answers count, but where a client that
holds the lists is measured. The pointer is followed all the time, as a replica does.
"""

import os
import signal
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from schemas.environment import Node, node_list
from tests.benchmarks.conftest import Report
from tests.benchmarks.wrk import (
    CONNECTIONS,
    ROUNDS,
    Run,
    measure,
    ratio,
    served,
    tell,
    users_script,
)
from tests.conftest import free_ports
from tests.harness.memory import resident_kib
from tests.harness.releases import write_release

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

USERS = 53_424
#: wrk leaves what is under way at its end uncounted; publishers, too, look a few fields up.
_UNCOUNTED = 2 * CONNECTIONS + 100


@dataclass(frozen=True)
class Place:
    """A cluster with a live release of full size, its settings and the release."""

    settings: Settings
    release: str

    @property
    def redis(self) -> str:
        """The cluster's nodes as NIGHTSHELF_REDIS."""
        return node_list(self.settings.redis)


@pytest.fixture(scope="module")
def place(redis_cluster: tuple[Node, ...], tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A live release of 53,424 users with 100 books each."""
    for node in redis_cluster:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()
    root = tmp_path_factory.mktemp("bench")
    settings = Settings(artifacts=root, redis=redis_cluster)
    folder = write_release(root, "2026-01-01", users=USERS, books=10_000, length=100)
    publish.run(folder, settings)
    activate.run(Artifacts(root), folder.release, settings)
    return Place(settings, folder.release)


def _lookups(place: Place) -> int:
    total = 0
    for node in place.settings.redis:
        with redis.Redis(host=node.host, port=node.port, decode_responses=True) as client:
            total += int(client.info("commandstats").get("cmdstat_hget", {}).get("calls", 0))
    return total


@contextmanager
def _publishing(place: Place) -> Iterator[None]:
    """Have a release of full size published again and again; at least one is through at the end."""
    other = write_release(
        place.settings.artifacts, "2026-01-02", users=USERS, books=10_000, variant=1, length=100
    )
    environment = {
        "NIGHTSHELF_ARTIFACTS": str(place.settings.artifacts), "NIGHTSHELF_REDIS": place.redis,
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.publishing", other.release],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as publisher:
        assert publisher.stdout is not None
        try:
            assert publisher.stdout.readline().strip() == other.release
            yield
            assert publisher.poll() is None
            assert publisher.stdout.readline().strip() == other.release
        finally:
            publisher.send_signal(signal.SIGTERM)


Server = tuple[int, int, Path]


@pytest.fixture(scope="module")
def servers(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """What is measured, running: (port, pid, script of wrk)."""
    folder = tmp_path_factory.mktemp("scripts")
    everybody = users_script(folder / "users.lua", USERS)
    uvicorn = [sys.executable, "-m", "uvicorn", "--no-access-log", "--log-level", "warning"]
    uvicorn += ["--loop", "uvloop", "--http", "httptools", "--app-dir", str(Path(__file__).parent)]
    ports = free_ports(3)
    commands = {
        "constant": [*uvicorn, "--port", str(ports[0]), "floor:constant"],
        "plain handler": [*uvicorn, "--port", str(ports[1]), "floor:plain"],
        "replica": [str(Path(sys.executable).with_name("nightshelf-edge"))],
    }
    with ExitStack() as stack:
        found = {}
        for (name, command), port in zip(commands.items(), ports, strict=True):
            environment = {"NIGHTSHELF_REDIS": place.redis, "NIGHTSHELF_EDGE_PORT": str(port)}
            found[name] = port, stack.enter_context(served(command, port, environment)), everybody
        port, pid, _ = found["replica"]
        held = users_script(folder / "held.lua", USERS, held=place.release)
        found["replica, lists held (304)"] = port, pid, held
        yield found


def _answers(port: int, label: str = "status") -> dict[str, float]:
    """Return how many answers a replica has given by status, or by another label."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:  # loopback
        text = answer.read().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            if one.name == "nightshelf_edge_requests_total":
                found[one.labels[label]] = found.get(one.labels[label], 0) + one.value
    return found


def _late(port: int) -> float:
    """Return how many answers of a replica came from the fallback, past the deadline of their look-up."""
    return _answers(port, "reason").get("store_unavailable", 0)


def _rounds(servers: dict[str, Server], place: Place) -> dict[str, list[Run]]:
    """Measure servers in turn; each counted 200 of a handler that looks up was one look-up, each 304 none.

    Of a look-up that is past its deadline before it is sent Redis hears nothing: on a machine that is not quiet.
    """
    runs: dict[str, list[Run]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, (port, pid, script) in servers.items():
            replica = name.startswith("replica")
            answered, late = (_answers(port), _late(port)) if replica else ({}, 0.0)
            looked_up = _lookups(place)
            run = measure(port, [pid], script)
            looked_up = _lookups(place) - looked_up
            runs[name].append(run)
            status = "304" if name.endswith("(304)") else "200"
            if replica:
                given = {s: n - answered.get(s, 0) for s, n in _answers(port).items()}
                assert 0 <= given.pop(status) - run.requests <= 2 * CONNECTIONS
                assert not any(given.values()), given
                late = _late(port) - late
            expected = 0 if name == "constant" or status == "304" else run.requests
            assert -late <= looked_up - expected <= _UNCOUNTED, name
    return runs


def test_the_replica_beside_a_constant_and_a_plain_handler(
    place: Place, servers: dict[str, Server], report: Report
) -> None:
    """The replica with everything on, and with 304s, beside a bare ASGI constant and one HGET a request."""
    runs = _rounds(servers, place)
    replica, constant = runs["replica"], runs["constant"]
    report("edge replica / bare ASGI constant", ratio(replica, constant), "ratio", ">= 0.50")
    report(
        "edge replica / one HGET a request", ratio(replica, runs["plain handler"]), "ratio", ">= 2.5"
    )  # fmt: skip
    held = runs["replica, lists held (304)"]
    report("edge replica, lists held (304) / bare ASGI constant", ratio(held, constant), "ratio")
    for name, found in runs.items():
        tell(report, name, found)
        report(f"{name}: resident memory", resident_kib(servers[name][1]) / 1024, "MiB")
    _tail(report, "edge replica", replica)


def test_the_replica_while_a_publish_goes_on(
    place: Place, servers: dict[str, Server], report: Report
) -> None:
    """The same beside a publisher that loads releases of full size into the same cluster at full speed."""
    port = servers["replica"][0]
    late, answered = _late(port), sum(_answers(port).values())
    with _publishing(place):
        runs = _rounds({name: servers[name] for name in ("constant", "replica")}, place)
    replica = runs["replica"]
    name = "edge replica / bare ASGI constant, during a publish"
    report(name, ratio(replica, runs["constant"]), "ratio", ">= 0.50")
    for name, found in runs.items():
        tell(report, f"{name}, during a publish", found)
    _tail(report, "edge replica, during a publish", replica)
    share = (_late(port) - late) / (sum(_answers(port).values()) - answered)
    report("edge replica, during a publish: past the deadline", share, "share")


def _tail(report: Report, name: str, runs: list[Run]) -> None:
    ratios = [run.p99_us / run.p50_us for run in runs]
    report(f"{name}: p99 / p50", statistics.median(ratios), "ratio", "< 4")
