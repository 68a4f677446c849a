"""Several worker processes of one replica, seen by a scrape."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.runtime.artifacts import ReleaseFolder
from schemas.environment import Node
from serving.workers import merged
from tests.serving.conftest import Replica, ending, is_ready, start_replica


@pytest.fixture
def workers(redis_nodes: tuple[Node, ...]) -> Iterator[Replica]:
    """A replica of two workers before an empty cluster."""
    with ending(start_replica(redis_nodes, NIGHTSHELF_EDGE_WORKERS="2"), within_s=15) as running:
        yield running


def _samples(replica: Replica, name: str) -> dict[str, float]:
    text = replica.get("/metrics").body.decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                worker = sample.labels["worker"]
                found[worker] = found.get(worker, 0) + sample.value
    return found


def _is_whole(replica: Replica) -> bool:
    return len(_samples(replica, "nightshelf_edge_workers")) == 2


def test_expositions_are_merged_by_family_with_a_label_for_the_worker() -> None:
    """One head a family, then the series of every worker, with and without labels of their own."""
    text = b'# HELP a b\n# TYPE a counter\na_total{x="y z"} 1.0\na_created 2.0\n# HELP g h\n# TYPE g gauge\ng 3.0\n'
    assert merged({"0": text, "1": text}).decode() == (
        "# HELP a b\n# TYPE a counter\n"
        'a_total{worker="0",x="y z"} 1.0\na_created{worker="0"} 2.0\n'
        'a_total{worker="1",x="y z"} 1.0\na_created{worker="1"} 2.0\n'
        '# HELP g h\n# TYPE g gauge\ng{worker="0"} 3.0\ng{worker="1"} 3.0\n'
    )


def test_a_scrape_counts_the_requests_of_every_worker(
    workers: Replica, go_live: Callable[..., ReleaseFolder]
) -> None:
    """Whichever worker answers, the sum over workers is the number of requests that were made."""
    go_live()
    workers.wait_for(is_ready)
    workers.wait_for(_is_whole)
    for user in range(1, 41):
        assert workers.get(f"/v1/users/{user}/recommendations").status in {200, 503}
    for _ in range(6):
        counted = _samples(workers, "nightshelf_edge_requests_total")
        assert sum(counted.values()) == 40
        assert _samples(workers, "nightshelf_edge_has_release").keys() == {"0", "1"}


def test_a_killed_worker_is_replaced_and_takes_its_number_over(
    workers: Replica, go_live: Callable[..., ReleaseFolder]
) -> None:
    """After a SIGKILL there are two workers again, numbered as before; no third series appears."""
    go_live()
    workers.wait_for(is_ready)
    workers.wait_for(_is_whole)
    before = _samples(workers, "process_start_time_seconds")
    parent = workers.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii")
    pids = [int(pid) for pid in children.split()]
    killed = next(pid for pid in pids if re.search(rb"spawn_main", _command(pid)))
    os.kill(killed, signal.SIGKILL)
    workers.wait_for(lambda one: len(set(_starts(one).values()) - set(before.values())) == 1)
    assert _starts(workers).keys() == {"0", "1"}


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _starts(replica: Replica) -> dict[str, float]:
    try:
        return _samples(replica, "process_start_time_seconds")
    except OSError:
        return {}
