"""The fault campaign: `make chaos`, or `python -m tests.faults.campaign --seed N --minutes M`.

In: a seed, a time, perhaps the names of faults. Out: `monitoring/faults.md`, written from what this and earlier runs
kept in the folder of results. Guarantees that the order of faults follows from the seed, that every recorded answer is
checked, and an exit code that is not 0 when an answer was wrong, one was missing, or a promise was broken.
"""

import argparse
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.cluster import NODE_TIMEOUT_MS
from jobs.runtime.settings import Settings
from tests.faults import client, figures, network, report
from tests.faults.checker import Checker
from tests.faults.deployment import PRIMARIES, Deployment, running
from tests.faults.faults import FAULTS
from tests.faults.oracle import Oracle
from tests.faults.publisher import Publisher
from tests.faults.report import Result
from tests.faults.stage import Round, Stage
from tests.faults.timeline import Timeline

USERS = 1000
_VALUES_PER_S = 500
_MS_PER_S = 1000


@dataclass(frozen=True)
class Plan:
    """What is done: at most `rounds` of each fault, no new one after `minutes`.

    `lookup_deadline_ms` and `answered_within_s` are the goals' own unless a busy machine has to be borne with.
    """

    seed: int
    minutes: float
    faults: tuple[str, ...] = tuple(FAULTS)
    rounds: int = sys.maxsize
    rate: float = 400
    node_timeout_ms: int = NODE_TIMEOUT_MS
    lookup_deadline_ms: int = 50
    answered_within_s: float = 2.0
    grace_s: float = 5.0
    watch_s: float = 1.5
    pause_s: float = 1.0

    def order(self, faults: list[str]) -> Iterator[str]:
        """Yield names of faults: every one once, in an order by chance, then again in another order."""
        chance = random.Random(self.seed)
        for _ in range(self.rounds):
            yield from chance.sample(faults, len(faults))


@dataclass
class _Run:
    """What one stack saw."""

    timeline: Timeline = field(default_factory=Timeline)
    rounds: list[Round] = field(default_factory=list)
    publisher: Publisher = field(init=False)
    #: Why no further fault could be injected, if so.
    broken: list[str] = field(default_factory=list)


def run(plan: Plan, folder: Path) -> list[Result]:
    """Carry a plan out and return a result for each stack that it needed; files go into `folder`."""
    results = []
    for needs_network in (False, True):
        faults = [name for name in plan.faults if FAULTS[name].network == needs_network]
        if faults:
            share = len(faults) / len(plan.faults)
            place = folder / ("network" if needs_network else "plain")
            place.mkdir(parents=True)
            results.append(_run(plan, faults, plan.minutes * share, place, needs_network))
    return results


def _run(
    plan: Plan, faults: list[str], minutes: float, folder: Path, needs_network: bool
) -> Result:
    done = _Run()
    begun_at, load_before = time.monotonic(), os.getloadavg()[0]
    out = folder / "exchanges"
    with _stack(plan, folder, done, needs_network) as deployment:
        asking = _Asking(plan, deployment, out)
        publishing = threading.Thread(target=done.publisher.loop, name="publisher")
        publishing.start()
        try:
            ends_at = time.monotonic() + 60 * minutes
            for number, name in enumerate(plan.order(faults)):
                if time.monotonic() > ends_at:
                    break
                asking.require()
                try:
                    done.rounds.append(_round(plan, deployment, done, name, number))
                except AssertionError as error:
                    # What was seen until then is worth telling, too.
                    done.broken.append(f"{name} was the last one: {error}")
                    break
        finally:
            done.publisher.stopped.set()
            publishing.join()
            asking.end()
    checker = Checker(_oracle(folder / "artifacts"), done.timeline, plan.answered_within_s)
    goals = {name: FAULTS[name].goal for name in faults}
    with out.open("rb") as file:
        rows, told = figures.rows(
            goals, done.rounds, client.recorded(file), checker, plan.lookup_deadline_ms / _MS_PER_S
        )
    told += done.broken
    told += [f"a command ended without advice: {text}" for text in done.publisher.defects]
    return Result(
        seed=plan.seed,
        rate=plan.rate,
        node_timeout_ms=plan.node_timeout_ms,
        seconds=round(time.monotonic() - begun_at),
        rows=rows,
        text=told,
        commands=dict(done.publisher.did),
        stalest_s=round(checker.stalest_s, 1),
        answered_within_s=plan.answered_within_s,
        load_before=round(load_before, 1),
    )


@contextmanager
def _stack(plan: Plan, folder: Path, done: _Run, needs_network: bool) -> Iterator[Deployment]:
    chance = random.Random(plan.seed)

    def first(settings: Settings) -> None:
        done.publisher = Publisher(
            settings, done.timeline, chance, USERS, _VALUES_PER_S, plan.pause_s
        )
        done.publisher.cycle()

    with ExitStack() as stack:
        links = (
            stack.enter_context(network.running(2 * PRIMARIES, plan.seed))
            if needs_network
            else None
        )
        deployment = stack.enter_context(
            running(
                folder,
                folder / "artifacts",
                node_timeout_ms=plan.node_timeout_ms,
                network=links,
                edge={"NIGHTSHELF_LOOKUP_DEADLINE_MS": str(plan.lookup_deadline_ms)},
                nginx={"nginx_read_timeout_ms": 6 * plan.lookup_deadline_ms},
                first=first,
            )
        )
        yield deployment


class _Asking:
    """The client, in its process."""

    def __init__(self, plan: Plan, deployment: Deployment, out: Path) -> None:
        command = client.command(deployment.port, plan.rate, USERS, plan.seed, out)
        self._process = subprocess.Popen(command)

    def require(self) -> None:
        """Fail if it has ended: without it nothing is checked."""
        assert self._process.poll() is None, f"the client ended: {self._process.returncode}"

    def end(self) -> None:
        """Let it finish what is under way."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=60)


def _round(plan: Plan, deployment: Deployment, done: _Run, name: str, number: int) -> Round:
    deployment.wait_until_whole(120)
    this = Round(name)
    chance = random.Random(f"{plan.seed} {number}")
    stage = Stage(
        deployment, done.publisher, done.timeline, chance, plan.watch_s, plan.grace_s, this
    )
    FAULTS[name].function(stage)
    stage.ends()
    moments = (this.healed_at, this.mended_at, this.whole_at, this.ended_at)
    told = ", ".join(f"{moment - this.begun_at:.1f}" for moment in moments)
    print(f"{name}: {told} s {this.findings or ''}", file=sys.stderr, flush=True)
    return this


def _oracle(artifacts: Path) -> Oracle:
    oracle = Oracle()
    for lists in sorted(artifacts.glob("releases/*/lists.parquet")):
        oracle.learn(lists.parent)
    return oracle


def _plan(given: argparse.Namespace) -> Plan:
    unknown = set(given.only or ()) - set(FAULTS)
    if unknown:
        raise SystemExit(f"no fault {', '.join(sorted(unknown))}; there are: {', '.join(FAULTS)}")
    chosen: dict[str, Any] = {"faults": tuple(given.only)} if given.only else {}
    if given.rounds:
        chosen["rounds"] = given.rounds
    return Plan(
        given.seed,
        given.minutes,
        rate=given.rate,
        node_timeout_ms=given.node_timeout_ms,
        lookup_deadline_ms=given.lookup_deadline_ms,
        answered_within_s=given.answered_within_s,
        **chosen,
    )


def main() -> int:
    """Run a campaign and write the page; 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rounds", type=int, help="of each fault at most")
    parser.add_argument("--only", nargs="+", help="names of faults")
    parser.add_argument("--rate", type=float, default=400, help="requests a second")
    parser.add_argument("--node-timeout-ms", type=int, default=NODE_TIMEOUT_MS)
    parser.add_argument("--lookup-deadline-ms", type=int, default=Plan.lookup_deadline_ms)
    parser.add_argument("--answered-within-s", type=float, default=Plan.answered_within_s)
    parser.add_argument("--results", type=Path, default=Path(".run/chaos"))
    parser.add_argument("--page", type=Path, default=report.PAGE)
    given = parser.parse_args()
    # Stopped from outside, everything that was started is ended all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="nightshelf-chaos-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101,S103  # workers of NGINX are another user
        results = run(_plan(given), Path(folder))
    for result in results:
        report.keep(
            result, given.results, f"python -m tests.faults.campaign {shlex.join(sys.argv[1:])}"
        )
        for line in result.text:
            print(line, file=sys.stderr)
    report.write(given.results, given.page, list(FAULTS))
    wrong = [row.fault for result in results for row in result.rows if not row.correct]
    told = [line for result in results for line in result.text]
    for row in (row for result in results for row in result.rows):
        print(report.line(row, given.node_timeout_ms), file=sys.stderr)
    return 1 if wrong or told else 0


if __name__ == "__main__":
    sys.exit(main())
