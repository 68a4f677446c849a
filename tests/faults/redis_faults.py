"""Faults of Redis: nodes killed, frozen, emptied, full, and slots that move.

In: a stage. Out: the round of the stage, filled in. Guarantees that the cluster is whole again when a function returns.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from redis.crc import key_slot
from redis.exceptions import RedisError

from tests.faults import steps
from tests.faults.deployment import RedisNode
from tests.faults.stage import Stage
from tests.faults.steps import Step
from tests.harness.waiting import until

_DOWN_S = 3.0
_MOVED = 24
_PATIENCE_S = 60


def primary_killed(stage: Stage) -> None:
    """A primary with a synced Redis replica dies; later it comes back empty and joins."""
    victim = stage.primary()
    stage.breaks()
    victim.kill()
    stage.heals()
    stage.watch()
    stage.mends(victim.start)


def primary_restarted(stage: Stage) -> None:
    """A primary dies and its process manager starts it again at once, empty: nothing may be lost."""
    victim = stage.primary()
    right = victim.command
    stage.breaks()
    victim.kill()
    victim.command = victim.again
    victim.start()
    victim.command = right
    deployment = stage.deployment
    until(
        lambda: deployment.healed(victim) or deployment.healed(),
        "a primary for all slots",
        _PATIENCE_S,
    )
    # Were it a primary again, it would be an empty one: the audit at the end tells.
    stage.heals(without=None if victim.slots else victim)
    stage.watch()
    stage.mends()


def frozen(seconds: float) -> Callable[[Stage], None]:
    """Return the fault of a primary that does not answer for so long, with its connections open."""

    def primary_frozen(stage: Stage) -> None:
        victim = stage.primary()
        stage.breaks()
        ends_at = time.monotonic() + seconds
        victim.freeze()
        until(
            lambda: time.monotonic() >= ends_at or stage.deployment.healed(), "an end", _PATIENCE_S
        )
        if time.monotonic() >= ends_at:
            victim.thaw()
            stage.heals()
        else:
            stage.heals()
            stage.watch(max(0.0, ends_at - time.monotonic()))
            stage.mends(victim.thaw)
        stage.deployment.wait_until_whole(_PATIENCE_S)
        stage.round.failovers = int(not victim.slots)

    return primary_frozen


def shard_killed(stage: Stage) -> None:
    """A primary and its Redis replica die at once: a third of all keys is gone, perhaps the pointer."""
    primary = stage.primary()
    copy = stage.deployment.copy_of(primary)
    stage.breaks(lost=True)
    primary.kill()
    copy.kill()
    stage.watch(_DOWN_S)
    primary.start()
    copy.start()
    stage.restores()


def all_emptied(stage: Stage) -> None:
    """All nodes die and come back empty."""
    stage.breaks(lost=True)
    for node in stage.deployment.redis:
        node.kill()
    stage.watch(1.0)
    for node in stage.deployment.redis:
        node.start()
    stage.restores()


def out_of_memory(stage: Stage) -> None:
    """Redis has no room for a release: the load is told so, the live one stays, the next load works."""
    with stage.publisher.turn:
        release = stage.publisher.write()
        stage.begins()
        for node in stage.deployment.redis:
            node.ask("CONFIG", "SET", "maxmemory", 1)
        ended = steps.carry_out(steps.load, stage.publisher.settings, release)
        stage.publisher.note("publish", ended)
        stage.expects(
            ended.advice and "out of memory" in ended.text, f"a full Redis was told as: {ended}"
        )
        stage.watch()
        for node in stage.deployment.redis:
            node.ask("CONFIG", "SET", "maxmemory", 0)
        again = stage.publisher.until_well("publish", steps.load, release)
        stage.expects(again.well, f"a publish after a full Redis: {again.text}")
        stage.publisher.activate(release)


def slots_moved(stage: Stage) -> None:
    """Slots of the live release move to another primary, key by key, while the next one is loaded."""
    publisher = stage.publisher
    with publisher.turn:
        release = publisher.write()
        source = stage.primary()
        target = stage.chance.choice(
            [n for n in stage.deployment.redis if n.slots and n is not source]
        )
        slow = replace(publisher.settings, load_rate=0)
        stage.begins()
        loading = Step(steps.load, slow, release, publisher.rate)
        held = {key_slot(key.encode()) for key in _stubbornly(source, "KEYS", "*")}
        for slot in stage.chance.sample(sorted(held), min(_MOVED, len(held))):
            _move(stage, slot, source, target)
        ended = publisher.note("publish", loading.ended())
        if not ended.well:
            ended = publisher.until_well("publish", steps.load, release)
        stage.expects(ended.well, f"a publish while slots moved: {ended.text}")
        publisher.activate(release)


def _move(stage: Stage, slot: int, source: RedisNode, target: RedisNode) -> None:
    names = {node.name: _stubbornly(node, "CLUSTER", "MYID") for node in (source, target)}
    _stubbornly(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[source.name])
    _stubbornly(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[target.name])
    address = target.address
    while keys := _stubbornly(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
        for key in keys:
            _stubbornly(source, "MIGRATE", address.host, address.port, key, 0, 5000, "REPLACE")
    for node in (target, source, *stage.deployment.redis):
        if node.slots:
            _stubbornly(node, "CLUSTER", "SETSLOT", slot, "NODE", names[target.name])


def _stubbornly(node: RedisNode, *command: str | int) -> Any:
    """Ask until there is an answer: each of these may be said twice."""
    found: list[Any] = []

    def asked() -> bool:
        with suppress(RedisError):
            found.append(node.ask(*command))
        return bool(found)

    until(asked, f"{node.name} answers {command[:3]}", _PATIENCE_S)
    return found[0]
