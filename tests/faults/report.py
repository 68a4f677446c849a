"""The page of the campaign, `monitoring/faults.md`, written by the tool.

In: results of runs, kept as JSON in a folder. Out: one page. Guarantees that every figure on the page follows from the
results: runs of the same fault with the same node time-out are added up.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.local.cluster import NODE_TIMEOUT_MS
from tests.faults.figures import BETWEEN, FAILOVER, FAILOVER_S, HEAL, Row

PAGE = Path(__file__).parents[2] / "monitoring" / "faults.md"


@dataclass
class Result:
    """What one stack of a run gave; `command` is the line that repeats it, `commands` how often each step ended how."""

    seed: int
    rate: float
    node_timeout_ms: int
    seconds: int
    rows: list[Row]
    text: list[str]
    commands: dict[str, int]
    stalest_s: float
    answered_within_s: float
    #: Processes that wanted a processor in the minute before.
    load_before: float
    command: str = ""
    machine: str = ""
    #: Figures beside the table, by what they are.
    measured: dict[str, str] = field(default_factory=dict)


def keep(result: Result, folder: Path, command: str) -> None:
    """Write a result, named by what it is about."""
    folder.mkdir(parents=True, exist_ok=True)
    result.command, result.machine = command, _machine()
    names = "-".join(row.fault for row in result.rows if row.fault != BETWEEN)
    name = re.sub(r"[^a-z0-9]+", "-", f"{names}-{result.node_timeout_ms}".lower())
    (folder / f"{name[:120]}-{result.seed}.json").write_text(
        json.dumps(asdict(result), indent=1), encoding="utf-8"
    )


def read(folder: Path) -> list[Result]:
    """Return all results of a folder, the oldest first."""
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
    results = []
    for file in files:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["rows"] = [Row(**row) for row in content["rows"]]
        results.append(Result(**content))
    return results


def write(folder: Path, page: Path, faults: Sequence[str]) -> None:
    """Write the page from all results; rows in the order of `faults`."""
    results = read(folder)
    found: dict[tuple[str, int], Row] = {}
    for result in results:
        for row in result.rows:
            if row.fault != BETWEEN:
                key = row.fault, result.node_timeout_ms
                found[key] = found[key].plus(row) if key in found else row
    ordered = sorted(found, key=lambda key: (faults.index(key[0]), key[1]))
    rows = [row for result in results for row in result.rows]
    measured = {name: figure for result in results for name, figure in result.measured.items()}
    text = _PAGE.format(
        injected=f"{sum(row.injected for row in rows):,}",
        requests=f"{sum(row.requests for row in rows):,}",
        wrong=sum(row.wrong for row in rows),
        unanswered=sum(row.unanswered for row in rows),
        stalest=max((result.stalest_s for result in results), default=0.0),
        within=max((result.answered_within_s for result in results), default=0.0),
        rate=" or ".join(sorted({f"{result.rate:g}" for result in results if result.rows})),
        table="\n".join(line(found[key], key[1]) for key in ordered),
        measured="".join(f"- {name}: {figure}\n" for name, figure in measured.items()),
        choice=_choice(found),
        machine=results[-1].machine if results else _machine(),
        commands="\n".join(
            f"    {_without_places(result.command)}  # {result.seconds} s, load before: {result.load_before:.1f}"
            for result in results
        ),
    )
    page.write_text(text, encoding="utf-8")


def _without_places(command: str) -> str:
    return re.sub(r" --(page|results) \S+", "", command)


def line(row: Row, node_timeout_ms: int) -> str:
    """Return a row as a line of the table."""
    of_redis = row.goal in {FAILOVER, HEAL}
    again = f"{row.median_s:.2f}, {row.greatest_s:.2f}" if of_redis else "-"
    after_ok = f"{max(row.after_ok_s):.2f}" if of_redis else "-"
    timely = row.in_time(node_timeout_ms / 1000)
    cells = (
        f"{row.fault} ({node_timeout_ms / 1000:g} s)",
        row.injected,
        f"{row.requests:,}",
        row.wrong,
        row.unanswered,
        row.late,
        again,
        after_ok,
        f"{1000 * row.p99_s:.0f}, {1000 * row.later_p99_s:.0f}",
        "missed" if not row.correct else "met" if timely else "missed in time",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _choice(found: dict[tuple[str, int], Row]) -> str:
    """Return what speaks for and against each node time-out that was tried; nothing if that is another choice."""
    told, fit = [], []
    for timeout in sorted({timeout for _, timeout in found}):
        killed, frozen = found.get((_KILLED, timeout)), found.get((_FROZEN, timeout))
        if killed is None or frozen is None:
            continue
        allowed_s = timeout / 1000 + FAILOVER_S
        told.append(
            f"| {timeout / 1000:g} s | {killed.median_s:.2f}, {killed.greatest_s:.2f} (of {killed.injected}) "
            f"| {allowed_s:g} | {frozen.median_s:.2f}, {frozen.greatest_s:.2f} (of {frozen.injected}) |"
        )
        if killed.greatest_s <= allowed_s and frozen.greatest_s <= _BORNE_S:
            fit.append(timeout)
    if len(told) < 2 or NODE_TIMEOUT_MS not in fit:
        return ""
    return _CHOICE.format(text="\n".join(told), chosen=f"{NODE_TIMEOUT_MS / 1000:g}")


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} processors, {memory:.0f} GiB"


_KILLED, _FROZEN = "primary killed", "primary frozen for 1 s"
#: After a pause of 1 s that was not taken for a death, personal lists are back within this.
_BORNE_S = 1.5
_CHOICE = """
**Node time-out.** The shorter, the sooner a death is answered, and the shorter a pause (a snapshot's fork, a busy host)
that is taken for one. {chosen} s is chosen: with it a kill is over within the goal, and a pause of 1 s is borne.

| node time-out | personal again after a kill, s: median, greatest | goal | after a pause of 1 s |
|---|---|---|---|
{text}
"""

_PAGE = """# Faults

`python -m tests.faults.campaign` writes this page from what its runs found. The next run overwrites it.

The deployment has three Redis primaries with a Redis replica each, three edge replicas and NGINX. A client asks at a
fixed rate: {rate} requests a second, one in ten a batch of 20, whatever happened to earlier ones. Meanwhile releases
are published, tried as canaries, activated, rolled back and retired. Every answer is compared byte for byte with what
the Parquet files of the releases say.

**{injected} faults were injected and {requests} requests checked. {wrong} answers were wrong, {unanswered} requests had
no valid answer.** The oldest answer was of a release that had not been live for {stalest:.1f} s (allowed: 30).

| fault | injected | requests | wrong | none | late | personal again, s | after ok, s | p99, later, ms | goals |
|---|---|---|---|---|---|---|---|---|---|
{table}

- *fault*: in brackets the node time-out of Redis.
- *wrong*: wrong, mixed, of a release that was not served, stale, or a fallback without its reason.
- *none*: no answer within {within:g} s.
- *late*: fallbacks because a look-up took longer than its deadline. They came without a fault, or a second and more
  after all had been well and all lists personal.
- *personal again*: from the fault to the last fallback, median and greatest.
- *after ok*: the greatest time until the last request that still got a fallback, but for *late* ones. It counts from
  when all reachable nodes said `cluster_state:ok` and what was lost had been restored. Other faults take no list away.
- *p99* (the greatest of several runs): while there were fallbacks, at least 1 s, with faults of edge replicas and
  NGINX 3 s. *later*: after that.
- *goals*: with a killed primary, personal lists within the node time-out and 2.5 s. With other faults of Redis, within
  1 s after ok. p99 with faults of Redis up to 70 ms, of edge replicas up to 300 ms and later 70 ms. *missed in time*:
  nothing was wrong, it took longer.
{measured}{choice}
Machine: {machine}.

The load before a run shows whether the machine was quiet. Above the number of processors, requests and look-ups waited
for a processor. Then only *wrong* counts.

{commands}
"""
