"""Requests per second, latencies and CPU of a server, measured with wrk.

In: a running server and a script of wrk's. Out: what one run saw, what several did in the middle. Guarantees that a run
in which any answer was no success fails.
"""

import os
import re
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.conftest import Report
from tests.harness.waiting import until

ROUNDS = 5
SECONDS = int(os.environ.get("NIGHTSHELF_BENCH_SECONDS", "5"))
CONNECTIONS = 48

#: Users 1 to the given number, drawn evenly; what is given besides are headers.
_SCRIPT = """
math.randomseed(7)
local headers = {}
request = function()
  local user = math.random(1, %d)
  %s
  return wrk.format("GET", "/v1/users/" .. user .. "/recommendations", headers)
end
done = function(summary, latency)
  io.write(string.format("RESULT %%d %%d %%d %%f %%f %%f\\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.read + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""
_KNOWN = 'headers["If-None-Match"] = string.format("\\"%s.als.u%%d.10\\"", user)'


def users_script(path: Path, users: int, *, held: str | None = None) -> Path:
    """Write a script that asks for users' lists; with `held` as a client that has that release's lists."""
    path.write_text(_SCRIPT % (users, _KNOWN % held if held else ""))
    return path


@dataclass(frozen=True)
class Run:
    """One run: answers per second, latencies in microseconds, CPU of the server per answer."""

    rate: float
    p50_us: float
    p99_us: float
    p999_us: float
    cpu_us: float
    requests: int


def cpu_s(pids: Sequence[int]) -> float:
    """Return the CPU seconds that processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(port: int, pids: Sequence[int], script: Path) -> Run:
    """Load one server, whose processes are `pids`. Fails when any answer was 400 or above, or none."""
    before = cpu_s(pids)
    address = f"http://127.0.0.1:{port}"
    shown = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), address],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+) ([\d.]+)", shown)
    assert found, shown
    requests, duration_us, bad, p50, p99, p999 = (float(part) for part in found.groups())
    assert bad == 0, shown
    cpu = (cpu_s(pids) - before) * 1e6 / requests
    return Run(requests / duration_us * 1e6, p50, p99, p999, cpu, int(requests))


@contextmanager
def served(
    command: Sequence[str],
    port: int,
    environment: dict[str, str],
    path: str = "/v1/users/1/recommendations",
) -> Iterator[int]:
    """Run a server until the end of the block; gives its pid once it answers."""
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        _wait(port, path)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=15)


def _wait(port: int, path: str) -> None:
    url = f"http://127.0.0.1:{port}{path}"
    ask = ["curl", "-sf", "-o", "/dev/null", url]
    until(lambda: subprocess.run(ask, check=False).returncode == 0, f"{url} answers", 20)


def ratio(one: Sequence[Run], other: Sequence[Run]) -> float:
    """Return the median of the ratios of two servers' answers per second, round by round."""
    return statistics.median(a.rate / b.rate for a, b in zip(one, other, strict=True))


def tell(report: Report, name: str, runs: Sequence[Run]) -> None:
    """Report the medians of a server's runs."""
    report(f"{name}: requests", statistics.median(run.rate for run in runs), "per second")
    for what, field in (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us")):
        median = statistics.median(getattr(run, field) for run in runs) / 1000
        report(f"{name}: {what}", median, "ms")
    report(f"{name}: CPU a request", statistics.median(run.cpu_us for run in runs), "microseconds")
