"""What NGINX in front costs, and what a hit in its cache is worth.

Each figure is a ratio of requests per second in the same run: interleaved, median of five, 48 kept connections, one
worker of NGINX. Only 200 answers count. NGINX is as it is delivered, with headers, log and limits, but these out of
reach.
"""

import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deploy.nginx import configuration
from schemas.environment import Node
from tests.benchmarks.conftest import Report
from tests.benchmarks.test_edge import ROUNDS, SCRIPT, Run, measure, served
from tests.conftest import free_ports
from tests.deploy.nginx.front import running_front
from tests.deploy.nginx.replicas import running_edge

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

USERS = 3000
_KEPT_USERS = 200

_RETURN = """daemon off; pid nginx.pid; worker_processes 1; error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000;
  server { listen 127.0.0.1:%d; location / { default_type application/json; return 200 '%s'; } }
}
"""


def _cpu_s(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _workers(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def _constant(folder: Path, port: int, body: str) -> Iterator[int]:
    """Run an NGINX that answers `return 200` and nothing else."""
    folder.mkdir()
    path = folder / "nginx.conf"
    path.write_text(_RETURN % (port, body))
    command = [configuration.program(), "-e", "stderr", "-p", f"{folder}/", "-c", str(path)]
    with served(command, port, {}) as pid:
        yield pid


def test_nginx_beside_a_replica_and_a_constant(
    redis_cluster: tuple[Node, ...], tmp_path: Path, report: Report
) -> None:
    """Through NGINX without its cache / the replica itself; a hit in its cache / `return 200` of the same size."""
    everybody, kept = tmp_path / "everybody.lua", tmp_path / "kept.lua"
    everybody.write_text(SCRIPT % USERS)
    kept.write_text(SCRIPT % _KEPT_USERS)
    direct, constant = free_ports(12)[-2:]
    with ExitStack() as stack:
        edge = stack.enter_context(
            running_edge(redis_cluster, tmp_path / "edge", "bench-nginx", users=USERS)
        )
        environment = {
            "NIGHTSHELF_EDGE_PORT": str(direct),
            "NIGHTSHELF_REDIS": ",".join(f"{n.host}:{n.port}" for n in edge.settings.redis),
            "NIGHTSHELF_NAMESPACE": edge.settings.namespace,
            "NIGHTSHELF_LOOKUP_DEADLINE_MS": "10000",
        }
        replica = stack.enter_context(
            served([str(Path(sys.executable).with_name("nightshelf-edge"))], direct, environment)
        )
        (behind,) = edge.replicas.values()
        fronts = {
            name: stack.enter_context(
                running_front(
                    tmp_path / name, edge.addresses, nginx_workers="1", nginx_cache=name == "hit"
                )
            )
            for name in ("through", "hit")
        }
        body = fronts["hit"].get("/v1/users/17/recommendations").body.decode()
        bare = stack.enter_context(_constant(tmp_path / "bare", constant, body))
        for user in range(1, _KEPT_USERS + 1):
            fronts["hit"].get(f"/v1/users/{user}/recommendations")
        through, hit = fronts["through"], fronts["hit"]
        servers = {
            "the replica itself": (direct, [replica], everybody),
            "through NGINX": (
                through.port, [behind.pid, *_workers(through.process.pid)], everybody,
            ),
            "return 200": (constant, _workers(bare), kept),
            "a hit": (hit.port, _workers(hit.process.pid), kept),
        }  # fmt: skip
        runs: dict[str, list[tuple[Run, float]]] = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, (port, pids, script) in servers.items():
                before = _cpu_s(pids)
                run = measure(port, pids[0], script)
                runs[name].append((run, (_cpu_s(pids) - before) * 1e6 / run.requests))
        assert hit.get("/v1/users/17/recommendations").cache == "HIT"

    def ratio(one: str, other: str) -> float:
        pairs = zip(runs[one], runs[other], strict=True)
        return statistics.median(a.rate / b.rate for (a, _), (b, _) in pairs)

    report(
        "through NGINX / the replica itself",
        ratio("through NGINX", "the replica itself"),
        "ratio",
        ">= 0.9",
    )
    report(
        "a hit in NGINX / return 200 of the same size",
        ratio("a hit", "return 200"),
        "ratio",
        ">= 0.55",
    )
    for name, found in runs.items():
        report(f"{name}: requests", statistics.median(r.rate for r, _ in found), "per second")
        for what, value in (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us")):
            median = statistics.median(getattr(r, value) for r, _ in found) / 1000
            report(f"{name}: {what}", median, "ms")
        report(f"{name}: CPU a request", statistics.median(c for _, c in found), "microseconds")
