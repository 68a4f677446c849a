"""`make demo`: from nothing to real recommendations over HTTP on this machine.

In: `GOODBOOKS_DIR` (a Goodbooks folder), else upstream's download, else a synthetic set of the same shape. Out: a
running stack with yesterday's release live, a few users' answers with titles on standard output, and the
addresses. Guarantees that it says which data it used, and that a second run finds its own work done.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from deploy.local import cluster, stack
from deploy.local.ports import PortTaken
from deploy.local.settings import ROOT, LocalSettings, from_environment
from deploy.local.supervision import SupervisionProblem
from schemas.environment import EnvironmentProblem
from schemas.tables import USER_ID

_DAYS = 14
_FIRST_DAY_SHARE = (
    "0.87"  # the remaining 13 days carry 1 % of the rows each, as a daily retrain meets it
)
_SYNTHETIC = ("--users", "53424", "--books", "10000", "--ratings", "5976479", "--seed", "1")
_USERS_SHOWN = 3
_BOOKS_SHOWN = 5
_ROWS_LOOKED_AT = 5000
_BUSY_S = 15


class StepFailed(RuntimeError):
    """A `nightshelf` command ended with an exit code that is not 0."""


def main() -> None:
    """Carry out the demo; a problem is printed without a traceback and exits with 1."""
    started = time.monotonic()
    try:
        settings = from_environment()
        environment = _environment(settings)
        source = _source(environment)
        _say("starting the Redis Cluster")
        stack.up_redis(settings)
        partition = _replay(source, environment)
        _nightshelf(environment, "restore")
        outcome = _nightshelf(
            environment,
            *("run", "--partition", partition, "--approved-by", "make demo"),
            *("--reason", "a demonstration goes live whatever the verdict"),
        )
        _say("starting the edge replicas")
        stack.up_edge(settings)
        _show(settings, _users(environment, outcome["release"]), outcome)
    except (
        StepFailed,
        PortTaken,
        SupervisionProblem,
        cluster.ClusterProblem,
        EnvironmentProblem,
    ) as problem:
        sys.exit(f"error: {problem}")
    _say(f"took {time.monotonic() - started:.0f} s; `make down` stops what was started")


def _say(text: str) -> None:
    print(f"== {text}", file=sys.stderr, flush=True)


def _environment(settings: LocalSettings) -> dict[str, str]:
    defaults = {"NIGHTSHELF_ARTIFACTS": str(ROOT / "artifacts"), "NIGHTSHELF_RUN_BY": "make demo"}
    return {**defaults, **os.environ, "NIGHTSHELF_REDIS": stack.redis_addresses(settings)}


def _nightshelf(environment: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    command = Path(sys.executable).with_name("nightshelf")
    _say(f"nightshelf {' '.join(arguments)}")
    process = subprocess.run(
        [str(command), *arguments],
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if process.returncode != 0:
        raise StepFailed(f"`nightshelf {arguments[0]}` ended with exit code {process.returncode}")
    outcome: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return outcome


def _source(environment: Mapping[str, str]) -> Path:
    given = environment.get("GOODBOOKS_DIR")
    if given:
        _say(f"data: the Goodbooks folder {given} (GOODBOOKS_DIR)")
        return Path(given)
    upstream, synthetic = ROOT / "data" / "goodbooks-10k", ROOT / "data" / "synthetic"
    if not upstream.exists():
        try:
            _nightshelf(environment, "fetch", "--out", str(upstream))
        except StepFailed:
            _say("data: upstream cannot be reached; a synthetic set of the same shape instead")
            if not synthetic.exists():
                _nightshelf(environment, "synthesize", "--out", str(synthetic), *_SYNTHETIC)
            return synthetic
    _say(f"data: upstream's Goodbooks-10k in {upstream}")
    return upstream


def _replay(source: Path, environment: Mapping[str, str]) -> str:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    first = yesterday - timedelta(days=_DAYS - 1)
    _nightshelf(
        environment,
        *("replay", "--source", str(source), "--from", str(first), "--to", str(yesterday)),
        *("--first-day-share", _FIRST_DAY_SHARE, "--replace"),
    )
    return str(yesterday)


def _get(url: str) -> dict[str, Any]:
    """Return an answer. A busy machine may miss the deadline of a look-up (503): it is asked again for a while."""
    last = time.monotonic() + _BUSY_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own loopback URL
                content: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > last:
                raise
            time.sleep(0.2)
        else:
            return content


def _users(environment: Mapping[str, str], release: str) -> list[int]:
    """Return the users of the release's first ratings: they are parsed, whatever the files of the source look like."""
    folder = Path(environment["NIGHTSHELF_ARTIFACTS"]) / "releases" / release
    with pq.ParquetFile(folder / "interactions.parquet") as file:
        rows = next(file.iter_batches(_ROWS_LOOKED_AT, columns=[USER_ID]))
    return list(dict.fromkeys(rows.column(USER_ID).to_pylist()))


def _show(settings: LocalSettings, users: list[int], outcome: Mapping[str, Any]) -> None:
    base = stack.address(settings)
    print(json.dumps(outcome, sort_keys=True))
    for user in [*users[:_USERS_SHOWN], 999_999_999]:
        path = f"/v1/users/{user}/recommendations?limit={_BOOKS_SHOWN}"
        answer = _get(base + path)
        why = f", {answer['reason']}" if answer["reason"] else ""
        print(
            f"\nuser {user}: {answer['source']}{why}, release {answer['release']}\n  {base}{path}"
        )
        for item in answer["items"]:
            book = _get(f"{base}/v1/books/{item['book_id']}")
            print(f"  {item['score']:<8} {book['title']} - {', '.join(book['authors'])}")
    if settings.has_nginx:
        print(f"\na page to look around: {base}/")
    print(f"\nedge      {base}/v1/popular?limit=10   {base}/openapi.json\nmetrics  ", end="")
    asked = (*settings.edge_ports, settings.local_batch_port)
    print("".join(f" http://127.0.0.1:{port}/metrics" for port in asked))
    print(f"redis     {stack.redis_addresses(settings)}")


if __name__ == "__main__":
    main()
