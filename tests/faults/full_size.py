"""How long a full-size release takes from a wiped cluster to being served again, and what an audit of all of it costs.

`python -m tests.faults.full_size`. In: nothing. Out: figures for `monitoring/faults.md`, beside others. Guarantees
that what is timed is whole commands, each in a process of its own, on three primaries with a Redis replica each.
"""

import argparse
import http.client
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from deploy.local.cluster import NODE_TIMEOUT_MS
from jobs.runtime.settings import Settings
from tests.faults import report, steps
from tests.faults.deployment import Deployment, running
from tests.faults.faults import FAULTS
from tests.faults.report import Result
from tests.faults.steps import carry_out
from tests.harness.releases import write_release
from tests.harness.waiting import until

USERS, BOOKS, LENGTH = 53_424, 10_000, 100
_SAMPLE = 200
_PATIENCE_S = 120


def _first(settings: Settings) -> None:
    """Publish two releases of full size: `restore` brings the live one back, and the previous one."""
    for day in (1, 2):
        release = write_release(
            settings.artifacts,
            f"2026-01-0{day}",
            users=USERS,
            books=BOOKS,
            variant=day,
            length=LENGTH,
        ).release
        for command in (steps.load, steps.go_live):
            ended = carry_out(command, settings, release)
            assert ended.well, ended


def _personal(deployment: Deployment, users: list[int]) -> bool:
    """Say whether all of these users get lists of their own through NGINX, not from its cache."""
    connection = http.client.HTTPConnection("127.0.0.1", deployment.port, timeout=10)
    asked = "&".join(f"user_id={user}" for user in users)
    connection.request("GET", f"/v1/recommendations?{asked}&limit=1")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return all(part["source"] == "als" for part in answer["results"])


def _everybody(deployment: Deployment, users: list[int]) -> bool:
    return all(
        _personal(deployment, users[start : start + 100]) for start in range(0, _SAMPLE, 100)
    )


def run(folder: Path, rounds: int) -> dict[str, str]:
    """Return the figures in words."""
    restored, served, audited = [], [], []
    users = random.Random(1).sample(range(1, USERS + 1), _SAMPLE)
    with running(folder, folder / "artifacts", first=_first) as deployment:
        until(lambda: _everybody(deployment, users), "all are served at first", _PATIENCE_S)
        for _ in range(rounds):
            for node in deployment.redis:
                if node.slots:
                    node.ask("FLUSHALL")
            until(lambda: not _personal(deployment, users[:1]), "the loss is seen", _PATIENCE_S)
            ended = carry_out(steps.mend, deployment.settings)
            assert ended.well, ended
            assert len(ended.outcome.loaded) == 2, ended
            restored.append(ended.done_at - ended.begun_at)
            until(lambda: _everybody(deployment, users), "all are served again", _PATIENCE_S)
            served.append(time.monotonic() - ended.begun_at)
            compared = carry_out(steps.compare, deployment.settings)
            assert compared.well, compared
            assert not compared.outcome.differing, compared
            audited.append(compared.done_at - compared.begun_at)
    what = f"{USERS:,} users with {LENGTH} books, {rounds} times"
    return {
        f"`restore` of a wiped cluster, live and previous release of {what}": _told(restored),
        "from its start until 200 users by chance got lists of their own through NGINX": _told(
            served
        )
        + " (goal: 10 s)",
        "`audit --all` of the live one": _told(audited),
    }


def _told(seconds: list[float]) -> str:
    return f"median {median(seconds):.1f} s, greatest {max(seconds):.1f} s"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path(".run/chaos"))
    parser.add_argument("--page", type=Path, default=report.PAGE)
    given = parser.parse_args()
    begun_at, load_before = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="nightshelf-chaos-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101,S103  # workers of NGINX are another user
        measured = run(Path(folder), given.rounds)
    result = Result(
        seed=1,
        rate=0,
        node_timeout_ms=NODE_TIMEOUT_MS,
        seconds=round(time.monotonic() - begun_at),
        rows=[],
        text=[],
        commands={},
        stalest_s=0,
        answered_within_s=0,
        load_before=round(load_before, 1),
        measured=measured,
    )
    report.keep(
        result, given.results, " ".join(["python -m tests.faults.full_size", *sys.argv[1:]])
    )
    report.write(given.results, given.page, list(FAULTS))
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
