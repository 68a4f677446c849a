"""The local stack: a Redis Cluster, edge replicas, the batch's metrics and, where it is installed, NGINX in front.

In: `python -m deploy.local.stack up|down|status|reload` and variables with the prefix `NIGHTSHELF_LOCAL_`. Out:
running processes on loopback under one process manager. Guarantees that `up` returns when all of them answer, that a
second `up` changes nothing, and that `down` stops what `up` started and nothing else.
"""

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from deploy.local import cluster, ports, supervision
from deploy.local.ports import PortTaken
from deploy.local.settings import HOST, ROOT, LocalSettings, from_environment
from deploy.local.supervision import Program, SupervisionProblem
from deploy.nginx import configuration as nginx
from deploy.nginx import settings as nginx_settings
from schemas.environment import EnvironmentProblem, node_list

_READY_DEADLINE_S = 30.0
_HTTP_OK = 200


def redis_addresses(settings: LocalSettings) -> str:
    """Return the value of NIGHTSHELF_REDIS for this stack."""
    return node_list(settings.redis)


def address(settings: LocalSettings) -> str:
    """Return the URL at which people reach the edge."""
    return f"http://{HOST}:{settings.local_port}"


def programs(settings: LocalSettings) -> list[Program]:
    """Return everything the stack runs, Redis first."""
    found = [
        _redis(port, settings.local_folder / "redis" / str(port)) for port in settings.redis_ports
    ]
    edge = str(Path(sys.executable).with_name("nightshelf-edge"))
    found += [
        Program(
            f"edge-{port}",
            [edge],
            {
                "NIGHTSHELF_EDGE_HOST": HOST,
                "NIGHTSHELF_EDGE_PORT": str(port),
                "NIGHTSHELF_REDIS": redis_addresses(settings),
            },
            priority=20,
        )
        for port in settings.edge_ports
    ]
    found.append(
        Program(
            "batch-metrics",
            [
                str(Path(sys.executable).with_name("nightshelf")),
                *("metrics", "--listen", f"{HOST}:{settings.local_batch_port}"),
            ],
            {
                "NIGHTSHELF_ARTIFACTS": os.environ.get(
                    "NIGHTSHELF_ARTIFACTS", str(ROOT / "artifacts")
                )
            },
            priority=20,
        )
    )
    if settings.has_nginx:
        command = nginx.command(settings.local_folder / "nginx")
        found.append(Program("nginx", command, priority=30))
        found.append(
            Program(
                "nginx-metrics",
                [sys.executable, "-m", "deploy.nginx.exporter"],
                {"NIGHTSHELF_NGINX_METRICS_LISTEN": _nginx_metrics(settings)},
                priority=20,
            )
        )
    return found


def _nginx_metrics(settings: LocalSettings) -> str:
    return f"{HOST}:{settings.local_nginx_metrics_port}"


def _redis(port: int, folder: Path) -> Program:
    command = cluster.giving_way(port, folder, cluster.server_command(port, folder))
    return Program(f"redis-{port}", command, priority=10)


def up_redis(settings: LocalSettings) -> None:
    """Start the process manager and the Redis Cluster; wait until the cluster is complete.

    Raises PortTaken, SupervisionProblem or deploy.local.cluster.ClusterProblem.
    """
    if not supervision.answers(settings.socket):
        ports.require_free(_ports(settings))
        if settings.has_nginx:
            _configure_nginx(settings)
        supervision.start(programs(settings), settings.local_folder, settings.socket)
    _run(settings, "redis-")
    cluster.form(settings.redis_ports, settings.local_redis_replicas)


def up_edge(settings: LocalSettings) -> None:
    """Start the edge replicas, the batch's metrics and NGINX; wait until each edge replica is ready to answer.

    A replica is ready once a release is live. Raises SupervisionProblem when one is not within 30 s.
    """
    _run(settings, "edge-")
    _run(settings, "batch-metrics")
    for port in settings.edge_ports:
        wait_until_ready(port)
    if settings.has_nginx:
        _run(settings, "nginx")


def up(settings: LocalSettings) -> None:
    """Start everything; raises what `up_redis` and `up_edge` raise."""
    up_redis(settings)
    up_edge(settings)


def wait_until_ready(port: int) -> None:
    """Wait until the edge replica at `port` says that it can answer. Raises SupervisionProblem after 30 s."""
    deadline = time.monotonic() + _READY_DEADLINE_S
    while not _ready(f"http://{HOST}:{port}/readyz"):
        if time.monotonic() > deadline:
            raise SupervisionProblem(f"the edge replica at port {port} is not ready after 30 s")
        time.sleep(0.1)


def reload(settings: LocalSettings) -> None:
    """Restart the edge replicas one after another, each only when the one before it is ready again."""
    for port in settings.edge_ports:
        supervision.restart(f"edge-{port}", settings.socket)
        wait_until_ready(port)


def down(settings: LocalSettings) -> None:
    """Stop everything that runs under this checkout's process manager."""
    supervision.stop(settings.socket)


def _run(settings: LocalSettings, prefix: str) -> None:
    names = [program.name for program in programs(settings) if program.name.startswith(prefix)]
    supervision.run(names, settings.local_folder, settings.socket)


def _configure_nginx(settings: LocalSettings) -> None:
    chosen = replace(
        nginx_settings.from_environment(),
        nginx_listen=f"{HOST}:{settings.local_port}",
        nginx_replicas=",".join(f"{HOST}:{port}" for port in settings.edge_ports),
        nginx_metrics_listen=_nginx_metrics(settings),
    )
    nginx.write(settings.local_folder / "nginx", chosen)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310  # our own loopback URL
            return bool(answer.status == _HTTP_OK)
    except (urllib.error.URLError, OSError):
        return False


def _ports(settings: LocalSettings) -> dict[str, list[int]]:
    nginx = [settings.local_nginx_metrics_port] if settings.has_nginx else []
    return {
        "NIGHTSHELF_LOCAL_NGINX_METRICS_PORT": nginx,
        "NIGHTSHELF_LOCAL_PORT": [settings.local_port],
        "NIGHTSHELF_LOCAL_EDGE_PORT": [p for p in settings.edge_ports if p != settings.local_port],
        "NIGHTSHELF_LOCAL_REDIS_PORT": [
            port + offset for port in settings.redis_ports for offset in (0, 10_000)
        ],
        "NIGHTSHELF_LOCAL_BATCH_PORT": [settings.local_batch_port],
    }


def main() -> None:
    """Carry out one command; a problem is printed without a traceback and exits with 1."""
    commands: dict[str, Callable[[LocalSettings], None]] = {
        "up": up,
        "down": down,
        "reload": reload,
        "status": _print_status,
    }
    if len(sys.argv) != 2 or sys.argv[1] not in commands:  # noqa: PLR2004  # program and command
        sys.exit(f"usage: python -m deploy.local.stack {'|'.join(commands)}")
    try:
        commands[sys.argv[1]](from_environment())
    except (
        PortTaken,
        SupervisionProblem,
        cluster.ClusterProblem,
        EnvironmentProblem,
    ) as problem:
        sys.exit(f"error: {problem}")


def _print_status(settings: LocalSettings) -> None:
    if not supervision.answers(settings.socket):
        sys.exit(f"the local stack of {ROOT} does not run; `make demo` starts it")
    for name, state in supervision.states(settings.socket).items():
        print(f"{name:16} {state}")


if __name__ == "__main__":
    main()
