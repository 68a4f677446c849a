"""How fast an edge replica is, beside the floor of the same server and beside a plain handler.

Each figure is a ratio of requests per second in the same run: interleaved, median of five, 48 connections, one process
on uvloop and httptools, user ids drawn over all users by a wrk script. Only 200 answers count.
"""

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from jobs import activate, publish
from jobs.release.folder import Artifacts
from jobs.runtime.settings import Settings
from schemas.environment import Node
from tests.benchmarks.conftest import Report
from tests.conftest import free_ports
from tests.releases import write_release

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

USERS = 53_424
ROUNDS = 5
SECONDS = int(os.environ.get("NIGHTSHELF_BENCH_SECONDS", "5"))

SCRIPT = """
math.randomseed(7)
request = function()
  return wrk.format("GET", "/v1/users/" .. math.random(1, %d) .. "/recommendations")
end
done = function(summary, latency)
  io.write(string.format("RESULT %%d %%d %%d %%f %%f %%f\\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.read + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


@dataclass(frozen=True)
class Run:
    """One run of wrk: requests per second and latencies in microseconds, CPU of the server per request."""

    rate: float
    p50_us: float
    p99_us: float
    p999_us: float
    cpu_us: float
    requests: int


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(port: int, pid: int, script: Path) -> Run:
    """Load one server and return what wrk saw. Fails when any answer was not 200."""
    before = _cpu_s(pid)
    shown = subprocess.run(
        ["wrk", "-t1", "-c48", f"-d{SECONDS}s", "-s", str(script), f"http://127.0.0.1:{port}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+) ([\d.]+)", shown)
    assert found, shown
    requests, duration_us, bad, p50, p99, p999 = (float(part) for part in found.groups())
    assert bad == 0, shown
    cpu = (_cpu_s(pid) - before) * 1e6 / requests
    return Run(requests / duration_us * 1e6, p50, p99, p999, cpu, int(requests))


@contextmanager
def served(
    command: list[str],
    port: int,
    environment: dict[str, str],
    path: str = "/v1/users/1/recommendations",
) -> Iterator[int]:
    """Run a server until the end of the block; gives its pid once it answers."""
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        _wait(port, path)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=15)


def _wait(port: int, path: str) -> None:
    deadline = time.monotonic() + 20
    url = f"http://127.0.0.1:{port}{path}"
    while subprocess.run(["curl", "-sf", "-o", "/dev/null", url], check=False).returncode:
        assert time.monotonic() < deadline, f"nothing answers at {url}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def full_release(
    redis_cluster: tuple[Node, ...], tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """A live release of 53,424 users with 100 books each."""
    for node in redis_cluster:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()
    root = tmp_path_factory.mktemp("bench")
    settings = Settings(artifacts=root, redis=redis_cluster)
    folder = write_release(root, "2026-01-01", users=USERS, books=10_000, length=100)
    publish.run(folder, settings)
    activate.run(Artifacts(root), folder.release, settings)
    return settings


def _lookups(nodes: tuple[Node, ...]) -> int:
    total = 0
    for node in nodes:
        with redis.Redis(host=node.host, port=node.port, decode_responses=True) as client:
            total += int(client.info("commandstats").get("cmdstat_hget", {}).get("calls", 0))
    return total


def test_the_replica_beside_a_constant_and_a_plain_handler(
    full_release: Settings, tmp_path: Path, report: Report
) -> None:
    """Requests per second of the replica with everything on, of a bare ASGI constant, and of one HGET a request."""
    script = tmp_path / "users.lua"
    script.write_text(SCRIPT % USERS)
    ports = free_ports(3)
    redis_nodes = ",".join(f"{node.host}:{node.port}" for node in full_release.redis)
    here = Path(__file__).parent
    environment = {"NIGHTSHELF_REDIS": redis_nodes}
    uvicorn = [sys.executable, "-m", "uvicorn", "--no-access-log", "--log-level", "warning"]
    uvicorn += ["--loop", "uvloop", "--http", "httptools", "--app-dir", str(here)]
    commands = {
        "constant": [*uvicorn, "--port", str(ports[0]), "floor:constant"],
        "plain handler": [*uvicorn, "--port", str(ports[1]), "floor:plain"],
        "replica": [str(Path(sys.executable).with_name("nightshelf-edge"))],
    }
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    with ExitStack() as stack:
        pids = {
            name: stack.enter_context(
                served(command, port, {**environment, "NIGHTSHELF_EDGE_PORT": str(port)})
            )
            for (name, command), port in zip(commands.items(), ports, strict=True)
        }
        for _ in range(ROUNDS):
            for (name, pid), port in zip(pids.items(), ports, strict=True):
                before = _lookups(full_release.redis)
                runs[name].append(measure(port, pid, script))
                looked_up = _lookups(full_release.redis) - before
                if name != "constant":
                    # One look-up a counted request; wrk leaves up to 48 requests uncounted at its end.
                    assert 0 <= looked_up - runs[name][-1].requests <= 96
        status = Path(f"/proc/{pids['replica']}/status").read_text()
    rates = {name: [run.rate for run in found] for name, found in runs.items()}
    pairs = zip(rates["replica"], rates["constant"], strict=True)
    report(
        "edge replica / bare ASGI constant",
        statistics.median(a / b for a, b in pairs),
        "ratio",
        ">= 0.50",
    )
    pairs = zip(rates["replica"], rates["plain handler"], strict=True)
    report(
        "edge replica / one HGET a request",
        statistics.median(a / b for a, b in pairs),
        "ratio",
        ">= 2.5",
    )
    for name, found in runs.items():
        report(f"{name}: requests", statistics.median(run.rate for run in found), "per second")
        report(f"{name}: p50", statistics.median(run.p50_us for run in found) / 1000, "ms")
        report(f"{name}: p99", statistics.median(run.p99_us for run in found) / 1000, "ms")
        report(f"{name}: p99.9", statistics.median(run.p999_us for run in found) / 1000, "ms")
        report(
            f"{name}: CPU a request", statistics.median(run.cpu_us for run in found), "microseconds"
        )
    ratio = statistics.median(run.p99_us / run.p50_us for run in runs["replica"])
    report("edge replica: p99 / p50", ratio, "ratio", "< 4")
    resident = re.search(r"VmRSS:\s+(\d+)", status)
    assert resident
    report("edge replica: resident memory", int(resident[1]) / 1024, "MiB")
