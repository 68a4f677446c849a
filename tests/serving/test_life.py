"""How an edge replica begins and ends."""

import json
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from deploy.local import cluster
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.settings import Settings
from schemas.environment import Node
from tests.conftest import free_ports, running_cluster
from tests.harness import store
from tests.serving.conftest import Replica, is_ready, start_replica

_PATH = "/v1/users/7/recommendations"
_PROBLEM = "application/problem+json"


def _source(replica: Replica) -> object:
    return json.loads(replica.get(_PATH).body).get("source")


def test_a_replica_without_any_list_says_503(
    replica: Replica, go_live: Callable[..., ReleaseFolder]
) -> None:
    """Alive, not ready, 503 as a problem; ready by itself after the first activation."""
    answer = replica.get(_PATH)
    assert (answer.status, answer.headers["Content-Type"]) == (503, _PROBLEM)
    assert replica.get("/healthz").status == 200
    assert replica.get("/readyz").status == 503
    go_live()
    replica.wait_for(is_ready)
    assert _source(replica) == "als"


def test_a_replica_that_starts_before_redis_waits_for_it(tmp_path: Path) -> None:
    """Alive, not ready, 503 as a problem while nothing listens; once Redis is there and a release live it serves it."""
    ports = free_ports(4)[1:]  # the replica takes the first
    nodes = tuple(Node(cluster.HOST, port) for port in ports)
    replica = start_replica(nodes)
    try:
        assert replica.get("/healthz").status == 200
        for path in ("/readyz", _PATH, "/v1/popular", "/v1/books/3"):
            answer = replica.get(path)
            assert (answer.status, answer.headers["Content-Type"]) == (503, _PROBLEM), path
            assert json.loads(answer.body)["status"] == 503
        with running_cluster(tmp_path / "redis", ports):
            settings = Settings(artifacts=tmp_path / "artifacts", redis=nodes)
            release = store.go_live(Artifacts(settings.artifacts), settings, "2026-01-01")
            replica.wait_for(is_ready)
            replica.wait_for(lambda one: _source(one) == "als")
            assert replica.get(_PATH).headers["X-Release"] == release
    finally:
        replica.process.kill()
        replica.process.wait()


def test_sigterm_ends_it_in_order(replica: Replica, go_live: Callable[..., ReleaseFolder]) -> None:
    """The process ends by itself with code 0."""
    go_live()
    replica.wait_for(is_ready)
    replica.process.terminate()
    assert replica.process.wait(timeout=10) in {0, -15}


def test_a_request_in_hand_is_finished_after_sigterm(tmp_path: Path) -> None:
    """A look-up that frozen nodes hold up when SIGTERM comes is answered whole; the process ends within 10 s."""
    with running_cluster(tmp_path / "redis") as nodes:
        settings = Settings(artifacts=tmp_path / "artifacts", redis=nodes)
        store.go_live(Artifacts(settings.artifacts), settings, "2026-01-01")
        replica = start_replica(nodes, NIGHTSHELF_LOOKUP_DEADLINE_MS="3000", NIGHTSHELF_DRAIN_S="1")
        with ThreadPoolExecutor() as pool, ExitStack() as thaw:
            try:
                replica.wait_for(is_ready)
                for node in nodes:
                    thaw.enter_context(store.frozen(node))
                waiting = pool.submit(replica.get, _PATH)
                time.sleep(0.5)
                replica.process.terminate()
                asked = time.monotonic()
                assert replica.process.wait(timeout=20) in {0, -signal.SIGTERM}
                assert time.monotonic() - asked <= 10
                answer = waiting.result()
            finally:
                replica.process.kill()
    assert (answer.status, json.loads(answer.body)["reason"]) == (200, "store_unavailable")
