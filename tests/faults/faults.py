"""The faults by name.

In: nothing. Out: `FAULTS`: what injects each, what it is judged by, and whether it needs a network of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults import (
    edge_faults,
    history_faults,
    network_faults,
    publisher_faults,
    redis_faults,
    seed_faults,
)
from tests.faults.figures import EDGE, FAILOVER, HEAL, NOTHING
from tests.faults.stage import Stage


@dataclass(frozen=True)
class Fault:
    """A way to break something."""

    function: Callable[[Stage], None]
    goal: str
    network: bool = False


def nothing(stage: Stage) -> None:
    """No fault: what the figures of faults are to be compared with."""
    stage.begins()
    stage.watch(5.0)


FAULTS = {
    "no fault": Fault(nothing, NOTHING),
    "primary killed": Fault(redis_faults.primary_killed, FAILOVER),
    "primary killed and started again at once": Fault(redis_faults.primary_restarted, FAILOVER),
    "primary frozen for 1 s": Fault(redis_faults.frozen(1), HEAL),
    "primary frozen for 5 s": Fault(redis_faults.frozen(5), HEAL),
    "primary frozen for 30 s": Fault(redis_faults.frozen(30), HEAL),
    "primary and its Redis replica killed": Fault(redis_faults.shard_killed, HEAL),
    "all of Redis killed, back empty, restored": Fault(redis_faults.all_emptied, HEAL),
    "slots moved during a publish": Fault(redis_faults.slots_moved, NOTHING),
    "Redis out of memory in a load": Fault(redis_faults.out_of_memory, NOTHING),
    "edge replica killed": Fault(edge_faults.edge_killed, EDGE),
    "edge replica frozen for 3 s": Fault(edge_faults.edge_frozen, EDGE),
    "all edge replicas paused for 200 ms": Fault(edge_faults.edges_paused, EDGE),
    "edge replica out of file descriptors": Fault(edge_faults.out_of_descriptors, EDGE),
    "NGINX reloaded": Fault(edge_faults.nginx_reloaded, EDGE),
    "publisher killed at a random write": Fault(publisher_faults.publisher_killed, NOTHING),
    "two publishers": Fault(publisher_faults.two_publishers, NOTHING),
    "publisher's and edge replica's clock an hour back": Fault(
        publisher_faults.clock_back, NOTHING
    ),
    "disk full under artifacts": Fault(publisher_faults.disk_full, NOTHING),
    "artifact bytes flipped": Fault(publisher_faults.bytes_flipped, NOTHING),
    "value in Redis changed by hand": Fault(publisher_faults.value_changed, NOTHING),
    "journal from a backup": Fault(history_faults.journal_from_backup, NOTHING),
    "second artifacts folder": Fault(history_faults.second_journal, NOTHING),
    **{
        f"primary flushed before {what}": Fault(history_faults.flushed_before(kind), HEAL)
        for kind, what in (
            ("activation", "an activation"),
            ("rollback", "a rollback"),
            ("canary", "a canary"),
            ("promotion", "a promotion"),
        )
    },
    "Redis evicts, too little memory": Fault(history_faults.evicting, NOTHING),
    "Redis nodes replaced one by one": Fault(seed_faults.seeds_replaced, NOTHING),
    "primary cut off from nodes, not from clients": Fault(
        network_faults.cut_from_nodes, HEAL, network=True
    ),
    "primary cut off from clients, not from nodes": Fault(
        network_faults.cut_from_clients, HEAL, network=True
    ),
    "2 % loss and 100 ms delay between edge and Redis": Fault(
        network_faults.slow_and_lossy, HEAL, network=True
    ),
}
