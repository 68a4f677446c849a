"""What NGINX in front costs, and what a hit in its cache is worth.

Each figure is a ratio of requests per second in the same run: interleaved, median of five, 48 kept connections, one
worker of NGINX. Only 200 answers count. NGINX is as it is delivered, with headers, log and limits, but these out of
reach.

What NGINX costs a replica is measured where the replica is the bottleneck: it has a core to itself, and wrk, Redis and
NGINX, if it is there, share the other one. On two cores that all of them share, NGINX takes its own time from the
replica as well; that is told, too.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deploy.nginx import configuration
from schemas.environment import Node, node_list
from tests.benchmarks.conftest import Report
from tests.benchmarks.wrk import ROUNDS, Run, measure, ratio, served, tell, users_script
from tests.conftest import free_ports
from tests.deploy.nginx.front import Front, running_front
from tests.deploy.nginx.replicas import running_edge
from tests.harness.store import pid_of

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

#: (port, processes whose CPU is counted, script of wrk)
Server = tuple[int, list[int], Path]


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


@contextmanager
def _cores(replicas: Sequence[int], others: Sequence[int]) -> Iterator[None]:
    """Give the replicas one core and everything else, this process and what it starts too, the other."""
    first, second, *_ = sorted(os.sched_getaffinity(0))
    before = {pid: os.sched_getaffinity(pid) for pid in (*replicas, *others, os.getpid())}
    for pid in before:
        os.sched_setaffinity(pid, {first if pid in replicas else second})
    try:
        yield
    finally:
        for pid, cores in before.items():
            os.sched_setaffinity(pid, cores)


def _rounds(servers: dict[str, Server]) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, (port, pids, script) in servers.items():
            runs[name].append(measure(port, pids, script))
    return runs


def test_nginx_beside_a_replica(
    redis_cluster: tuple[Node, ...], tmp_path: Path, report: Report
) -> None:
    """Through NGINX without its cache, by Unix socket and by TCP / the replica itself."""
    script = users_script(tmp_path / "users.lua", USERS)
    direct = free_ports(12)[-1]
    with ExitStack() as stack:
        edge = stack.enter_context(
            running_edge(redis_cluster, tmp_path / "edge", "bench-nginx", users=USERS)
        )
        environment = {
            "NIGHTSHELF_EDGE_PORT": str(direct),
            "NIGHTSHELF_REDIS": node_list(edge.settings.redis),
            "NIGHTSHELF_NAMESPACE": edge.settings.namespace,
            "NIGHTSHELF_LOOKUP_DEADLINE_MS": "10000",
            "NIGHTSHELF_POINTER_REFRESH_MS": "50",
        }
        replica = stack.enter_context(
            served([str(Path(sys.executable).with_name("nightshelf-edge"))], direct, environment)
        )
        (behind,) = edge.replicas.values()

        def front(name: str, address: str) -> Front:
            return stack.enter_context(
                running_front(tmp_path / name, address, nginx_workers="1", nginx_cache=False)
            )

        tcp, unix = front("tcp", f"127.0.0.1:{direct}"), front("unix", edge.addresses)
        fronts = [worker for one in (tcp, unix) for worker in _workers(one.process.pid)]
        servers: dict[str, Server] = {
            "the replica itself": (direct, [replica], script),
            "through NGINX, TCP": (tcp.port, [replica, *_workers(tcp.process.pid)], script),
            "through NGINX": (unix.port, [behind.pid, *_workers(unix.process.pid)], script),
        }
        with _cores([replica, behind.pid], [*fronts, *map(pid_of, redis_cluster)]):
            apart = _rounds(servers)
        together = _rounds(servers)
    itself, tcp_name, unix_name = servers
    where = "a core for the replica"
    for name, goal in ((unix_name, ">= 0.9"), (tcp_name, "")):
        found = ratio(apart[name], apart[itself])
        report(f"{name} / the replica itself, {where}", found, "ratio", goal)
    for name in (unix_name, tcp_name):
        found = ratio(together[name], together[itself])
        report(f"{name} / the replica itself, two cores for all", found, "ratio")
    for label, runs in ((where, apart), ("two cores for all", together)):
        for name, found_runs in runs.items():
            tell(report, f"{name}, {label}", found_runs)


def test_a_hit_beside_a_constant(
    redis_cluster: tuple[Node, ...], tmp_path: Path, report: Report
) -> None:
    """A hit in NGINX's cache / NGINX's `return 200` of the same size."""
    script = users_script(tmp_path / "kept.lua", _KEPT_USERS)
    port = free_ports(12)[-1]
    with ExitStack() as stack:
        edge = stack.enter_context(
            running_edge(redis_cluster, tmp_path / "edge", "bench-hit", users=_KEPT_USERS)
        )
        front = stack.enter_context(
            running_front(tmp_path / "hit", edge.addresses, nginx_workers="1")
        )
        body = front.get("/v1/users/17/recommendations").body.decode()
        bare = stack.enter_context(_constant(tmp_path / "bare", port, body))
        for user in range(1, _KEPT_USERS + 1):
            front.get(f"/v1/users/{user}/recommendations")
        runs = _rounds(
            {
                "return 200": (port, _workers(bare), script),
                "a hit": (front.port, _workers(front.process.pid), script),
            }
        )
        assert front.get("/v1/users/17/recommendations").cache == "HIT"
    report(
        "a hit in NGINX / return 200 of the same size",
        ratio(runs["a hit"], runs["return 200"]),
        "ratio",
        ">= 0.55",
    )
    for name, found in runs.items():
        tell(report, name, found)
