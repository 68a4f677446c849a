"""Faults of those who publish: killed at any write, two at once, a wrong clock, a full disk, bytes that changed.

In: a stage. Out: the round of the stage, filled in. Guarantees that a later publish works when a function returns.
"""

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from jobs.release import journal
from jobs.runtime.artifacts import Artifacts
from schemas.environment import node_list
from tests.faults import steps
from tests.faults.edge_faults import start
from tests.faults.stage import Stage
from tests.faults.steps import Step
from tests.harness import small_disk
from tests.harness.store import connected

_NIGHTSHELF = str(Path(sys.executable).with_name("nightshelf"))
_KILLS = 4
_WRITES_OF_A_LOAD, _WRITES_OF_A_CHANGE = 40, 12
_COMMAND_S = 120
_HALF_AN_HOUR_S = 1800


def publisher_killed(stage: Stage) -> None:
    """A publisher dies at a random write, of a load or of an activation, several times; each time the next goes on."""
    publisher, chance = stage.publisher, stage.chance
    with publisher.turn:
        hasty = replace(publisher.settings, lease_s=1)
        stage.begins()
        stage.round.injected = 0
        while stage.round.injected < _KILLS:
            release = publisher.write()
            fatal = chance.randint(1, _WRITES_OF_A_LOAD)
            killed = publisher.note(
                "publish", Step(steps.load, hasty, release, fatal_write=fatal).ended()
            )
            stage.round.injected += killed.killed
            again = publisher.until_well("publish", steps.load, release)
            stage.expects(again.well, f"a publish after one died at write {fatal}: {again.text}")
            fatal = chance.randint(1, _WRITES_OF_A_CHANGE)
            moved = publisher.activate(release, fatal_write=fatal)
            stage.round.injected += moved.killed
            if publisher.live != release:
                moved = publisher.activate(release)
                stage.expects(moved.well, f"an activation after one died at {fatal}: {moved.text}")
            publisher.until_well("retire", steps.make_room)


def two_publishers(stage: Stage) -> None:
    """Two load at once and activate at once: one waits for the other or is told who loads, and both get through."""
    publisher = stage.publisher
    with publisher.turn:
        releases = [publisher.write(), publisher.write()]
        stage.begins()
        loads = [Step(steps.load, publisher.settings, name, publisher.rate) for name in releases]
        ended = [publisher.note("publish", load.ended()) for load in loads]
        stage.expects(any(one.well for one in ended), f"neither got through: {ended}")
        for name, one in zip(releases, ended, strict=True):
            stage.expects(one.well or one.advice, f"the other publisher was told: {one.text}")
            again = publisher.until_well("publish", steps.load, name)
            stage.expects(again.well, f"a publish after the other's: {again.text}")
        moves = [Step(steps.go_live, publisher.settings, name) for name in releases]
        moved = [publisher.note("activate", move.ended()) for move in moves]
        stage.expects(any(one.well for one in moved), f"neither was activated: {moved}")
        done = [(one, name) for one, name in zip(moved, releases, strict=True) if one.well]
        for one, name in sorted(done, key=lambda pair: pair[0].outcome.generation):
            stage.expects(one.outcome.release == name, f"{name} went live as {one.outcome}")
            publisher.serves(name, one.begun_at, one.done_at)


def clock_back(stage: Stage) -> None:
    """A publisher and an edge replica whose clocks are an hour behind: everything is as ever."""
    publisher = stage.publisher
    edge = stage.chance.choice(stage.deployment.edges)
    right = edge.environment
    # Not by the program `faketime`: it forks, and whoever kills it leaves its child behind.
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    behind = {"LD_PRELOAD": str(library), "FAKETIME": "-1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with publisher.turn:
        release = publisher.write()
        stage.begins()
        edge.kill()
        edge.environment = {**right, **behind}
        start(edge)
        for command in ("publish", "activate"):
            begun_at = time.monotonic()
            told = _command(stage, behind, command, release)
            stage.expects(told.returncode == 0, f"{command} an hour back: {told.stderr[-300:]}")
            if command == "activate" and told.returncode == 0:
                publisher.serves(release, begun_at, time.monotonic())
        written = journal.read(Artifacts(publisher.settings.artifacts).journal)[-1]["at"]
        age_s = (datetime.now(UTC) - datetime.fromisoformat(written)).total_seconds()
        stage.expects(age_s > _HALF_AN_HOUR_S, f"the clock was not back: {written}")
        publisher.until_well("retire", steps.make_room)
        stage.watch()
        edge.kill()
        edge.environment = right
        start(edge)


def _command(
    stage: Stage, behind: dict[str, str], command: str, release: str
) -> "subprocess.CompletedProcess[str]":
    settings = stage.publisher.settings
    environment = {
        **os.environ,
        **behind,
        "NIGHTSHELF_ARTIFACTS": str(settings.artifacts),
        "NIGHTSHELF_REDIS": node_list(settings.redis),
    }
    return subprocess.run(
        [_NIGHTSHELF, command, "--release", release],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
        check=False,
    )


_FILL = """
cp -a "$1"/. "$2" && { dd if=/dev/zero of="$2"/filling bs=1k 2>/dev/null; true; }
export NIGHTSHELF_ARTIFACTS="$2" NIGHTSHELF_REDIS="$3"
exec "$4" "$5" --release "$6"
"""


def disk_full(stage: Stage) -> None:
    """Not a byte is left under the artifacts: publish and activate say so before Redis is told anything."""
    publisher = stage.publisher
    with publisher.turn:
        one, other = publisher.write(), publisher.write()
        publisher.until_well("publish", steps.load, other)
        before = publisher.live
        stage.begins()
        nodes = node_list(publisher.settings.redis)
        source = publisher.settings.artifacts
        size = sum(-(-file.stat().st_size // 4096) * 4 for file in source.rglob("*")) + 256
        folder = source.with_name("full")
        for command, release in (("publish", one), ("activate", other)):
            given = (source, folder, nodes, _NIGHTSHELF, command, release)
            told = small_disk.run(folder, size, "sh", "-c", _FILL, "sh", *given)
            stage.expects(
                told.exit_code == 1 and "the disk is full" in told.text,
                f"{command} on a full disk: exit code {told.exit_code}: {told.text[-300:]}",
            )
        found = publisher.until_well("restore", steps.mend)
        stage.expects(
            found.well and found.outcome.release == before and not found.outcome.restored,
            f"after a full disk: {found}",
        )


def bytes_flipped(stage: Stage) -> None:
    """A bit of a release's lists changes on disk: refused by publish, and by activate when it was loaded before."""
    publisher = stage.publisher
    artifacts = Artifacts(publisher.settings.artifacts)
    with publisher.turn:
        one, other = publisher.write(), publisher.write()
        publisher.until_well("publish", steps.load, other)
        stage.begins()
        for name, command in ((one, steps.load), (other, steps.go_live)):
            lists = artifacts.release(name).lists
            right = lists.read_bytes()
            bit = stage.chance.randrange(8 * len(right))
            wrong = bytearray(right)
            wrong[bit // 8] ^= 1 << bit % 8
            lists.write_bytes(wrong)
            ended = steps.carry_out(command, publisher.settings, name)
            stage.expects(
                ended.advice and "changed" in ended.text, f"bit {bit} of {name} flipped: {ended}"
            )
            lists.write_bytes(right)


def value_changed(stage: Stage) -> None:
    """Somebody writes over a user's list in Redis: `audit` names the user. Not of a release that is served."""
    publisher = stage.publisher
    with publisher.turn:
        release = publisher.write()
        publisher.until_well("publish", steps.load, release)
        stage.begins()
        user = stage.chance.randint(1, publisher.users)
        namespace = publisher.settings.namespace
        with connected(publisher.settings) as cluster:
            (key,) = (
                key
                for key in cluster.scan_iter(f"{namespace}:{release}:users:*")
                if cluster.hexists(key, str(user))
            )
            right = cluster.hget(key, str(user))
            assert isinstance(right, bytes)
            cluster.hset(key, str(user), right[:-2] + bytes([right[-2] ^ 1]) + right[-1:])
            found = publisher.until_well("audit", steps.compare, release)
            stage.expects(
                found.well and found.outcome.users == [user] and found.outcome.differing == 1,
                f"user {user} of {release} was changed, the audit said {found}",
            )
            cluster.hset(key, str(user), right)
        again = publisher.until_well("audit", steps.compare, release)
        stage.expects(again.well and not again.outcome.differing, f"after mending: {again}")
