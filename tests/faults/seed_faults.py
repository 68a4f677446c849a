"""Every address that the edge replicas were given is replaced, one after another, while they run.

In: a stage. Out: the round of the stage, filled in. Guarantees that publishers, and edge replicas that are started
later, are given the new addresses.
"""

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial

from redis.exceptions import RedisError

from schemas.environment import node_list
from tests.faults.deployment import RedisNode
from tests.faults.stage import Stage
from tests.harness.waiting import until

_PATIENCE_S = 60
#: After so long a promotion by hand is given up by Redis itself.
_VOTE_S = 6


def seeds_replaced(stage: Stage) -> None:
    """A new node takes over from each old one, which is then forgotten and ends: no edge replica is started again."""
    deployment, publisher = stage.deployment, stage.publisher
    with publisher.turn:
        begun_at = time.monotonic()
        for old in list(deployment.redis):
            new = _joined(stage, old)
            stage.breaks()
            if old.slots:
                _takes_over(new, old)
            _leaves(stage, old, new)
            deployment.redis[deployment.redis.index(old)] = new
            addresses = tuple(node.address for node in deployment.redis)
            publisher.settings = replace(publisher.settings, redis=addresses)
            stage.heals()
            deployment.wait_until_whole(_PATIENCE_S)
            # From the end of the grace time on, a fallback is a wrong answer.
            stage.watch(stage.grace_s + stage.watch_s)
        stage.round.begun_at, stage.round.injected = begun_at, len(deployment.redis)
        deployment.settings = publisher.settings
        for edge in deployment.edges:
            edge.environment["NIGHTSHELF_REDIS"] = node_list(publisher.settings.redis)


def _joined(stage: Stage, old: RedisNode) -> RedisNode:
    """Return a new node that follows the primary of an old one, or the old one itself, and has synced."""
    new = stage.deployment.start_redis(old.place)
    until(lambda: _says(new, "PING"), f"{new.address} answers", _PATIENCE_S)
    new.ask("CLUSTER", "MEET", old.address.host, old.address.port)
    primary = old.myself[0] if old.slots else old.myself[3]
    until(lambda: _says(new, "CLUSTER", "REPLICATE", primary), "the new node follows", _PATIENCE_S)
    until(lambda: new.ask("ROLE")[3:4] == ["connected"], "the new node has synced", _PATIENCE_S)
    known = len(stage.deployment.redis) + 1
    until(
        lambda: all(len(_known(node)) == known for node in (*stage.deployment.redis, new)),
        f"everybody knows {new.address}",
        _PATIENCE_S,
    )
    return new


def _known(node: RedisNode) -> list[str]:
    return str(node.ask("CLUSTER", "NODES")).splitlines()


def _takes_over(new: RedisNode, old: RedisNode) -> None:
    """Have a Redis replica promoted; asked again where the others had not heard of it in time and did not vote."""
    deadline = time.monotonic() + _PATIENCE_S
    while not (new.slots and not old.slots):
        assert time.monotonic() < deadline, f"{new.address} has not taken over"
        _says(new, "CLUSTER", "FAILOVER")
        with suppress(AssertionError):
            until(lambda: new.slots and not old.slots, "a promotion", _VOTE_S)


def _leaves(stage: Stage, old: RedisNode, new: RedisNode) -> None:
    """End a node, and let everybody forget it."""
    name = old.myself[0]
    old.kill()
    for node in (*stage.deployment.redis, new):
        if node is not old:
            # A Redis replica of the old one forgets it once it has heard whom to follow now.
            forgets = partial(_says, node, "CLUSTER", "FORGET", name)
            until(forgets, f"{node.address} forgets {old.address}", _PATIENCE_S)


def _says(node: RedisNode, *command: str | int) -> bool:
    try:
        return bool(node.ask(*command))
    except RedisError:
        return False
