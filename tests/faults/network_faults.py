"""Faults of the network between clients and Redis nodes, and among these.

In: a stage whose deployment has a network. Out: the round of the stage, filled in. Guarantees that all links work when
a function returns.
"""

import time

from tests.faults.deployment import RedisNode
from tests.faults.network import OUTSIDE, Link
from tests.faults.stage import Stage

_CUT_S = 8.0
_BAD_S = 5.0
_LOSS, _DELAY_S = 0.02, 0.1


def cut_from_nodes(stage: Stage) -> None:
    """A primary is cut off from the other nodes, not from clients: those who ask it must learn to ask another."""
    victim = stage.primary()
    others = [
        Link(victim.place, n.place, loss=1) for n in stage.deployment.redis if n is not victim
    ]
    stage.breaks()
    ends_at = time.monotonic() + _CUT_S
    _links(stage, *others)
    stage.heals(without=victim)
    stage.watch(max(0.0, ends_at - time.monotonic()))
    stage.mends(lambda: _links(stage))


def cut_from_clients(stage: Stage) -> None:
    """A primary is cut off from clients, not from the other nodes: nobody takes over from it."""
    victim = stage.primary()
    stage.breaks()
    _cut(stage, victim)
    stage.watch(_BAD_S)
    _links(stage)
    victim.cut = False
    stage.heals()


def _cut(stage: Stage, victim: RedisNode) -> None:
    victim.cut = True
    _links(stage, Link(OUTSIDE, victim.place, loss=1))


def slow_and_lossy(stage: Stage) -> None:
    """Between clients and all nodes two of a hundred packets are lost and each takes 100 ms."""
    stage.breaks()
    links = [Link(OUTSIDE, node.place, _LOSS, _DELAY_S) for node in stage.deployment.redis]
    _links(stage, *links)
    stage.watch(_BAD_S)
    _links(stage)
    stage.heals()


def _links(stage: Stage, *links: Link) -> None:
    network = stage.deployment.network
    assert network is not None
    network.set(*links)
