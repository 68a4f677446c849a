"""Replicas that die, hang or are exchanged, and NGINX that is reloaded, under load: nobody sees it.

The time-out is the default one here: it decides how long a hanging replica holds a request up.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.nginx import configuration
from deploy.nginx.settings import NginxSettings
from schemas.environment import Node
from tests.deploy.nginx.conftest import Edge, Front, load, running_edge, running_front
from tests.waiting import until


@pytest.fixture(scope="module")
def fleet(
    redis_cluster: tuple[Node, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Edge, Front]]:
    """Three replicas, which a test leaves running, and NGINX without a cache, so that every request needs one."""
    folder = tmp_path_factory.mktemp("fleet")
    with (
        running_edge(redis_cluster, folder / "edge", replicas=3) as edge,
        running_front(
            folder / "nginx",
            edge.addresses,
            nginx_cache=False,
            nginx_read_timeout_ms=NginxSettings().nginx_read_timeout_ms,
        ) as front,
    ):
        yield edge, front


def test_a_killed_replica_costs_no_request(fleet: tuple[Edge, Front]) -> None:
    """SIGKILL under load: what it had in hand is asked of another; it is taken up again when it is back."""
    edge, front = fleet
    release = edge.serves(next(iter(edge.replicas)))
    victim = next(iter(edge.replicas))
    with load(front) as finish:
        edge.replicas[victim].kill()
        edge.replicas[victim].wait()
        edge.start(victim)
        until(lambda: edge.serves(victim) == release, "the replica is back")
        seen = finish()
    assert seen.failed == 0, seen.shown
    assert seen.requests > 100


def test_a_hanging_replica_costs_no_request(fleet: tuple[Edge, Front]) -> None:
    """SIGSTOP under load: its requests time out and are asked of another, and soon it is left alone."""
    edge, front = fleet
    process = next(iter(edge.replicas.values()))
    with load(front) as finish:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            time.sleep(3)
            seen = finish()
        finally:
            os.kill(process.pid, signal.SIGCONT)
    assert seen.failed == 0, seen.shown
    assert seen.requests > 100


def test_a_rolling_restart_costs_no_request(fleet: tuple[Edge, Front]) -> None:
    """One replica after another gets SIGTERM, finishes, comes back and is waited for: no failed request."""
    edge, front = fleet
    release = edge.serves(next(iter(edge.replicas)))
    with load(front) as finish:
        for replica, process in list(edge.replicas.items()):
            process.terminate()
            assert process.wait(timeout=10) in {0, -signal.SIGTERM}
            edge.start(replica)
            until(lambda replica=replica: edge.serves(replica) == release, "it is ready again")  # type: ignore[misc]
        seen = finish()
    assert seen.failed == 0, seen.shown
    assert seen.requests > 100


def test_a_reload_costs_no_request(fleet: tuple[Edge, Front]) -> None:
    """Five reloads of NGINX under load, a connection a request: no failed request, and the workers are new."""
    _, front = fleet

    def workers() -> set[str]:
        return set(
            Path(f"/proc/{front.process.pid}/task/{front.process.pid}/children").read_text().split()
        )

    with load(front, "-H", "Connection: close") as finish:
        for _ in range(5):
            before = workers()
            configuration.reload(front.folder)
            until(lambda before=before: bool(workers() - before), "new workers")  # type: ignore[misc]
        seen = finish()
    assert seen.failed == 0, seen.shown
    assert seen.requests > 100


def test_a_broken_configuration_changes_nothing(fleet: tuple[Edge, Front]) -> None:
    """A reload with a mistake in the configuration is refused, and NGINX goes on as before."""
    _, front = fleet
    file = front.folder / configuration.CONFIGURATION
    file.write_text(file.read_text() + "nonsense;\n")
    with pytest.raises(Exception, match="returned non-zero exit status"):
        configuration.reload(front.folder)
    assert front.get("/v1/users/1/recommendations").status == 200
