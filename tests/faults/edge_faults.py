"""Faults of edge replicas and of NGINX: killed, frozen, paused, without file descriptors, reloaded.

In: a stage. Out: the round of the stage, filled in. Guarantees that all of them run again when a function returns.
"""

import resource
import signal
import subprocess
import time
from pathlib import Path

from tests.deploy.nginx.front import listens
from tests.faults.deployment import Part
from tests.faults.stage import Stage
from tests.harness.waiting import until

#: For so long something is broken, and for so long it is watched afterwards.
BROKEN_S, AFTER_S = 3.0, 3.0
_PAUSE_S = 0.2
_START_S = 240


def edge_killed(stage: Stage) -> None:
    """An edge replica dies and is started again."""
    victim = stage.chance.choice(stage.deployment.edges)
    stage.begins()
    victim.kill()
    stage.watch(BROKEN_S)
    start(victim)
    stage.watch(AFTER_S)


def start(edge: Part) -> None:
    """Start an edge replica and wait until it listens."""
    edge.start()
    port = int(edge.environment["NIGHTSHELF_EDGE_PORT"])
    until(lambda: listens(port), edge.name, _START_S)


def edge_frozen(stage: Stage) -> None:
    """An edge replica does nothing for a while; its connections stay open."""
    victim = stage.chance.choice(stage.deployment.edges)
    stage.begins()
    victim.freeze()
    stage.watch(BROKEN_S)
    victim.thaw()
    stage.watch(AFTER_S)


def edges_paused(stage: Stage) -> None:
    """All edge replicas do nothing for 200 ms."""
    stage.begins()
    for edge in stage.deployment.edges:
        edge.freeze()
    time.sleep(_PAUSE_S)
    for edge in stage.deployment.edges:
        edge.thaw()
    stage.watch(BROKEN_S + AFTER_S)


def out_of_descriptors(stage: Stage) -> None:
    """An edge replica can open nothing more."""
    victim = stage.chance.choice(stage.deployment.edges)
    stage.begins()
    held = max(int(name.name) for name in Path(f"/proc/{victim.pid}/fd").iterdir())
    soft, hard = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (held + 1, hard))
    stage.watch(BROKEN_S)
    resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (soft, hard))
    stage.watch(AFTER_S)


def nginx_reloaded(stage: Stage) -> None:
    """NGINX reads its configuration anew: new workers, the old ones finish."""
    nginx = stage.deployment.nginx
    assert nginx is not None
    before = _workers(nginx)
    stage.begins()
    nginx.send_signal(signal.SIGHUP)
    until(lambda: _workers(nginx) - before, "new workers", _START_S)
    stage.watch(BROKEN_S + AFTER_S)


def _workers(nginx: "subprocess.Popen[bytes]") -> set[str]:
    return set(Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children").read_text().split())
