"""A replica under load: slots move between nodes, minutes pass."""

import http.client
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from schemas.environment import Node
from tests.conftest import running_cluster
from tests.harness.memory import resident_kib
from tests.harness.releases import write_release
from tests.serving.conftest import Replica, ending, is_ready, start_replica

USERS = 5000
#: Of a machine that does other things too, so that every answer that is no list is one for want of a slot.
PATIENT_MS = "5000"
LOAD_S = 600


@contextmanager
def asking(replica: Replica, threads: int = 8) -> Iterator[Counter[str]]:
    """Ask for users' lists until the block ends; gives how often each kind of answer came."""
    kinds: Counter[str] = Counter()
    lock, enough = threading.Lock(), threading.Event()
    place = urlsplit(replica.base)

    def ask(first: int) -> None:
        client = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
        user = first
        while not enough.is_set():
            user = 1 + (user + threads) % USERS
            kind = _asked(client, user)
            with lock:
                kinds[kind] += 1
        client.close()

    workers = [threading.Thread(target=ask, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield kinds
    finally:
        enough.set()
        for worker in workers:
            worker.join()


def _asked(client: http.client.HTTPConnection, user: int) -> str:
    """Ask for a user's list; return "list" if it came, the fallback's reason, or what else happened."""
    try:
        client.request("GET", f"/v1/users/{user}/recommendations")
        answer = client.getresponse()
        body = json.loads(answer.read())
    except (OSError, http.client.HTTPException) as error:
        client.close()
        return repr(error)
    if answer.status != 200 or body["user_id"] != user:
        return f"{answer.status} {body}"
    return "list" if body["source"] == "als" else str(body["reason"])


def _move(nodes: tuple[Node, ...], giver: int, taker: int, slots: int) -> None:
    """Have Redis's own tool move slots with their keys from one node to another."""
    ids = []
    for node in nodes:
        with redis.Redis(host=node.host, port=node.port) as client:
            ids.append(client.execute_command("CLUSTER MYID").decode())
    command = ["redis-cli", "--cluster", "reshard", f"{nodes[0].host}:{nodes[0].port}"]
    command += ["--cluster-from", ids[giver], "--cluster-to", ids[taker]]
    command += ["--cluster-slots", str(slots), "--cluster-yes"]
    subprocess.run(command, check=True, capture_output=True, timeout=600)


@pytest.fixture
def before_its_own_cluster(tmp_path: Path) -> Iterator[tuple[Replica, tuple[Node, ...]]]:
    """A ready replica before a cluster that the test may change."""
    with running_cluster(tmp_path / "redis") as nodes:
        settings = Settings(artifacts=tmp_path / "artifacts", redis=nodes)
        folder = write_release(settings.artifacts, "2026-01-01", users=USERS)
        publish.run(folder, settings)
        activate.run(Artifacts(settings.artifacts), folder.release, settings)
        started = start_replica(nodes, NIGHTSHELF_LOOKUP_DEADLINE_MS=PATIENT_MS)
        with ending(started, within_s=15) as replica:
            replica.wait_for(is_ready)
            yield replica, nodes


def _costs_no_answer(
    place: tuple[Replica, tuple[Node, ...]], slots: int, moves: list[tuple[int, int]]
) -> None:
    replica, nodes = place
    sizes: Callable[[], list[int]] = lambda: [_size(node) for node in nodes]  # noqa: E731
    before = sizes()
    with asking(replica) as kinds:
        replica.wait_for(lambda _one: kinds["list"] > 100)
        for giver, taker in moves:
            _move(nodes, giver, taker, slots)
        moved = kinds["list"]
        replica.wait_for(lambda _one: kinds["list"] > moved + 100)
    assert sizes() != before
    assert set(kinds) == {"list"}, kinds.most_common(5)


def _size(node: Node) -> int:
    with redis.Redis(host=node.host, port=node.port) as client:
        return int(client.dbsize())


def test_moving_slots_costs_no_answer(
    before_its_own_cluster: tuple[Replica, tuple[Node, ...]],
) -> None:
    """While slots with keys go from one node to another, every request gets its user's own list."""
    _costs_no_answer(before_its_own_cluster, 400, [(0, 1)])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_emptying_node_after_node_costs_no_answer(
    before_its_own_cluster: tuple[Replica, tuple[Node, ...]],
) -> None:
    """The same while thousands of slots go round all nodes."""
    _costs_no_answer(before_its_own_cluster, 4000, [(0, 1), (1, 2), (2, 0), (1, 0)])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_does_not_grow_over_ten_minutes_of_load(
    before_its_own_cluster: tuple[Replica, tuple[Node, ...]],
) -> None:
    """After the first two minutes of ten, what a replica holds resident grows by 4 MiB at most.

    A machine that stands still for longer than the deadline of a look-up may cost a list now and then.
    """
    replica, _nodes = before_its_own_cluster
    with asking(replica) as kinds:
        time.sleep(LOAD_S / 5)
        before = resident_kib(replica.process.pid)
        time.sleep(LOAD_S * 4 / 5)
        after = resident_kib(replica.process.pid)
    print(
        f"{kinds['list']} lists, resident {before} KiB after a fifth of the time, {after} KiB at the end"
    )
    assert kinds["list"] >= 0.999 * kinds.total(), kinds.most_common(5)
    assert after - before <= 4096, (before, after, kinds)
