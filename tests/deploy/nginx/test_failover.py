"""Replicas that die, hang or are exchanged, and NGINX that is reloaded, under load: nobody sees it."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.nginx import configuration
from deploy.nginx.settings import NginxSettings
from schemas.environment import Node
from serving.settings import Settings
from tests.deploy.nginx.front import PATIENCE_S, Front, running_front
from tests.deploy.nginx.load import load
from tests.deploy.nginx.replicas import Edge, running_edge
from tests.harness.waiting import until

Fleet = tuple[Edge, Front]

#: A hanging replica holds a request up for so long; a busy machine must not make the others look as if they hung.
_TIMEOUT_MS = 3000


@pytest.fixture(scope="module")
def fleet(shelves: tuple[Node, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two replicas, which a test leaves running, and NGINX without a cache, so that every request needs one."""
    folder = tmp_path_factory.mktemp("fleet")
    with (
        running_edge(shelves, folder / "edge", "fleet", replicas=2) as edge,
        running_front(
            folder / "nginx", edge.addresses, nginx_cache=False, nginx_read_timeout_ms=_TIMEOUT_MS
        ) as front,
    ):
        yield edge, front


def _victim(edge: Edge) -> tuple[Path, str]:
    """Return a replica and the release it serves."""
    replica = next(iter(edge.replicas))
    release = edge.serves(replica)
    assert release is not None
    return replica, release


def _connections(edge: Edge) -> set[str]:
    """Return the inodes of the connections that replicas hold; a listening socket is in another state."""
    connected = "03"
    lines = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    paths = {str(replica) for replica in edge.replicas}
    return {line[6] for line in lines if line[5] == connected and line[-1] in paths}


def test_connections_to_replicas_are_kept(fleet: Fleet) -> None:
    """Sixty requests, each on a connection of its own to NGINX, go over a few connections to both replicas."""
    edge, front = fleet
    served = {replica: _served_by(replica, edge) for replica in edge.replicas}
    seen: set[str] = set()
    for user in range(60):
        assert front.get(f"/v1/users/{1 + user % 30}/recommendations").status == 200
        seen |= _connections(edge)
    assert 0 < len(seen) <= 20
    for replica, before in served.items():
        assert _served_by(replica, edge) - before >= 10


def test_a_killed_replica_costs_no_request(fleet: Fleet) -> None:
    """SIGKILL under load: what it had in hand is asked of another; it is taken up again when it is back."""
    edge, front = fleet
    victim, release = _victim(edge)
    with load(front) as finish:
        edge.replicas[victim].kill()
        edge.replicas[victim].wait()
        edge.start(victim)
        edge.wait(release)
        served = _served_by(victim, edge)
        until(lambda: _served_by(victim, edge) > served + 10, "it is asked again", PATIENCE_S)
        seen = finish()
    assert seen.failed == 0, seen.shown


def _served_by(replica: Path, edge: Edge) -> float:
    text = edge.get(replica, "/metrics").body.decode()
    counts = re.findall(
        r'^nightshelf_edge_requests_total\{.*route="recommendations".*\} (\S+)$', text, re.MULTILINE
    )
    return sum(map(float, counts))


def test_a_hanging_replica_costs_no_request(fleet: Fleet) -> None:
    """SIGSTOP under load: its requests time out and are asked of another, and soon it is left alone."""
    edge, front = fleet
    victim, _ = _victim(edge)
    timed_out = front.errors().count("upstream timed out")
    with load(front) as finish:
        os.kill(edge.replicas[victim].pid, signal.SIGSTOP)
        try:
            until(
                lambda: front.errors().count("upstream timed out") >= timed_out + 3,
                "requests time out",
                PATIENCE_S,
            )
            seen = finish()
        finally:
            os.kill(edge.replicas[victim].pid, signal.SIGCONT)
    assert seen.failed == 0, seen.shown


def test_a_rolling_restart_costs_no_request(fleet: Fleet) -> None:
    """One replica after another gets SIGTERM, finishes, comes back and is waited for: no failed request."""
    edge, front = fleet
    _, release = _victim(edge)
    with load(front) as finish:
        for replica, process in list(edge.replicas.items()):
            process.terminate()
            assert process.wait(timeout=PATIENCE_S) in {0, -signal.SIGTERM}
            edge.start(replica)
            edge.wait(release, replica)
        seen = finish()
    assert seen.failed == 0, seen.shown


def test_time_outs_fit_the_replica(tmp_path: Path) -> None:
    """By default NGINX waits six look-up deadlines for an answer, 100 ms for a connection, three tries at most."""
    text = configuration.configuration(NginxSettings(), tmp_path)
    deadline_ms = Settings().lookup_deadline_ms
    assert f"proxy_read_timeout {6 * deadline_ms}ms;" in text
    assert "proxy_connect_timeout 100ms;" in text
    assert "proxy_next_upstream error timeout invalid_header;" in text
    assert "proxy_next_upstream_tries 3;" in text
    assert "max_fails=3 fail_timeout=2s;" in text


def test_a_reload_costs_no_request(fleet: Fleet) -> None:
    """Five reloads of NGINX under load, a connection a request: no failed request, and the workers are new."""
    _, front = fleet
    with load(front, "-H", "Connection: close") as finish:
        for _ in range(5):
            before = front.workers()
            configuration.reload(front.folder)
            until(lambda before=before: bool(front.workers() - before), "new workers", PATIENCE_S)  # type: ignore[misc]
        seen = finish()
    assert seen.failed == 0, seen.shown


def test_a_broken_configuration_changes_nothing(fleet: Fleet) -> None:
    """A reload with a mistake in the configuration is refused, and NGINX goes on as before."""
    _, front = fleet
    file = front.folder / configuration.CONFIGURATION
    whole = file.read_text()
    file.write_text(f"{whole}nonsense;\n")
    with pytest.raises(subprocess.CalledProcessError, match="returned non-zero exit status"):
        configuration.reload(front.folder)
    file.write_text(whole)
    assert front.get("/v1/users/1/recommendations").status == 200
