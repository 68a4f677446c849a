"""Fixtures that more than one part needs: a real Redis Cluster, free ports, the real data."""

import atexit
import functools
import importlib
import importlib.util
import os
import socket
import subprocess
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from deploy.local import cluster
from schemas.environment import Node
from tests.harness import excerpts

if importlib.util.find_spec("hypothesis"):  # the DAGs' environment has none
    # The same examples each time, and no deadline: the first example may have to import pandas.
    hypothesis_settings = importlib.import_module("hypothesis").settings
    hypothesis_settings.load_profile("ci")


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on; Redis also takes the port 10,000 above for its cluster bus.

    All of them are below 32,768, where Linux begins to give ports to outgoing connections.
    """
    found: list[int] = []
    candidate = _own_ports()
    while len(found) < count:
        candidate += 1
        if _free(candidate) and _free(candidate + 10_000):
            found.append(candidate)
    return found


@functools.cache
def _own_ports() -> int:
    """Return where 200 ports begin that are this process's alone: several sessions ask at the same moment.

    They are this process's as long as it holds a name among Linux's abstract addresses, which ends with it.
    """
    for first in range(11_000, 21_000, 200):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0nightshelf-test-ports-{first}")
        except OSError:
            name.close()
            continue
        atexit.register(name.close)
        return first
    raise RuntimeError("50 sessions of tests on this machine have all the ports")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, ...]]:
    """Three real Redis primaries on loopback, shared by the session; see `redis_nodes` for a clean one."""
    with running_cluster(tmp_path_factory.mktemp("redis")) as nodes:
        yield nodes


@contextmanager
def running_cluster(folder: Path, ports: Sequence[int] = ()) -> Iterator[tuple[Node, ...]]:
    """Three real Redis primaries on loopback, on these ports or any, without replicas, that end with the block."""
    ports = ports or free_ports(3)
    with running_nodes(folder, ports):
        cluster.form(ports)
        yield tuple(Node(cluster.HOST, port) for port in ports)


@contextmanager
def running_nodes(folder: Path, ports: Sequence[int]) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Redis nodes that know nothing of each other yet; whoever exchanges a process puts the new one into the list."""
    processes = [
        subprocess.Popen(
            cluster.server_command(port, folder / str(port)), stdout=subprocess.DEVNULL
        )
        for port in ports
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=60)


@pytest.fixture
def redis_nodes(redis_cluster: tuple[Node, ...]) -> tuple[Node, ...]:
    """The session's cluster, empty and with its default configuration."""
    for node in redis_cluster:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()
            client.config_set("maxmemory", 0)
    return redis_cluster


def _data(variable: str) -> Path | None:
    folder = os.environ.get(variable)
    if not folder:
        return None
    path = Path(folder).resolve()
    assert (path / "ratings.csv").is_file(), f"{variable}={folder} holds no ratings.csv"
    return path


@pytest.fixture(scope="session")
def goodbooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Goodbooks folder in upstream's current layout: GOODBOOKS_DIR, else a small real excerpt."""
    return _data("GOODBOOKS_DIR") or excerpts.write_current(tmp_path_factory.mktemp("goodbooks"))


@pytest.fixture(scope="session")
def goodbooks_old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the first public edition: GOODBOOKS_OLD_DIR, else a small real excerpt."""
    return _data("GOODBOOKS_OLD_DIR") or excerpts.write_old(tmp_path_factory.mktemp("old"))


def pytest_report_header() -> list[str]:
    """Say on which data the tests run."""
    without = {
        "GOODBOOKS_DIR": "a small excerpt stands in",
        "GOODBOOKS_OLD_DIR": "a small excerpt stands in",
        "NIGHTSHELF_CASES": "no handed case is run",
    }
    return [
        f"{variable}: {os.environ.get(variable) or f'not set, {instead}'}"
        for variable, instead in without.items()
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure unless NIGHTSHELF_ALLOW_SKIP (comma-separated) names a part of its reason."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        allowed = os.environ.get("NIGHTSHELF_ALLOW_SKIP", "").split(",")
        if not any(part and part in reason for part in allowed):
            report.outcome = "failed"
            report.longrepr = (
                f"{item.nodeid} was skipped ({reason}); name a part of this reason in "
                "NIGHTSHELF_ALLOW_SKIP to allow it"
            )
    return report
