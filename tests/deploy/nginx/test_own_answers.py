"""Answers that NGINX makes itself are counted, and alerts see them."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from deploy.nginx import keys
from schemas.environment import Node
from tests.conftest import free_ports
from tests.deploy.nginx.front import PATIENCE_S, Front, running_front
from tests.deploy.nginx.replicas import Edge, running_edge
from tests.harness import promtool
from tests.harness.waiting import until

_PATH = "/v1/users/1/recommendations"
_SAMPLE = re.compile(
    r'^nightshelf_nginx_answers_total\{status="(\d+)",upstream="(\w+)"\} (\d+)$', re.MULTILINE
)
#: What is there before anything has happened.
_NOTHING = dict.fromkeys(
    [("401", "none"), ("429", "none"), ("503", "502"), ("503", "504"), ("503", "none")], 0
)


@contextmanager
def _running_exporter(listen: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.nginx.exporter"],
        env={**os.environ, "NIGHTSHELF_NGINX_METRICS_LISTEN": listen},
    )
    try:
        until(lambda: _answers(listen), "the exporter answers", PATIENCE_S)
        yield
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


@pytest.fixture
def exporter() -> Iterator[str]:
    """A running exporter; gives its address."""
    listen = f"127.0.0.1:{free_ports(2)[1]}"
    with _running_exporter(listen):
        yield listen


def _scrape(listen: str) -> str:
    with urllib.request.urlopen(f"http://{listen}/metrics", timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


def _answers(listen: str) -> bool:
    try:
        return bool(_scrape(listen))
    except OSError:
        return False


def _counts(listen: str) -> dict[tuple[str, str], int]:
    return {(status, tried): int(n) for status, tried, n in _SAMPLE.findall(_scrape(listen))}


def _seen(listen: str, **expected: int) -> None:
    """Wait until the exporter has these counts, by status and last try: `s503_504`."""
    wanted = _NOTHING | {(name[1:4], name[5:]): number for name, number in expected.items()}
    until(lambda: _counts(listen) == wanted, f"{wanted}, not {_counts(listen)}", PATIENCE_S)


def test_refusals_are_counted_and_what_a_replica_answers_is_not(
    start_front: Callable[..., Front], exporter: str, tmp_path: Path
) -> None:
    """401 without a key, 429 beyond the limit, a 404 of NGINX; a replica's 200, 400 and 404 and the page are not."""
    assert _counts(exporter) == _NOTHING
    file = tmp_path / "keys.map"
    key = keys.add(file, "shop")
    front = start_front(
        nginx_metrics_listen=exporter,
        nginx_api_keys_file=str(file),
        nginx_api_keys_required=True,
        nginx_key_rate_per_s=1,
        nginx_key_burst=3,
    )
    for _ in range(3):
        assert front.get(_PATH).status == 401
    found = [front.get(path, X_Api_Key=key).status for path in (_PATH, f"{_PATH}?limit=0")]
    assert found == [200, 400]
    assert front.get("/v1/books/999999", X_Api_Key=key).status == 404
    assert front.get("/").status == 200
    assert front.get("/nowhere").status == 404
    refused = 0
    for _ in range(1000):
        if front.get("/v1/popular", X_Api_Key=key).status == 429:
            refused += 1
        if refused == 2:
            break
    _seen(exporter, s401_none=3, s429_none=2, s404_none=1)


def test_each_way_of_a_replica_to_fail_is_told_apart(exporter: str, tmp_path: Path) -> None:
    """Nobody listens: 502; one that hangs: 504; nothing that is readable: 502. Clients get 503 each time."""
    with closing(socket.create_server(("127.0.0.1", 0))) as hanging:
        for number, address in enumerate(
            (f"127.0.0.1:{free_ports(3)[2]}", f"127.0.0.1:{hanging.getsockname()[1]}")
        ):
            choices = {"nginx_metrics_listen": exporter, "nginx_read_timeout_ms": 100}
            with running_front(tmp_path / str(number), address, **choices) as front:
                assert front.get(_PATH).status == 503
                assert front.get("/v1/popular").status == 503
    _seen(exporter, s503_502=2, s503_504=2)


def test_nginx_goes_on_without_anybody_who_counts(
    start_front: Callable[..., Front],
) -> None:
    """Lines that nobody takes cost no answer; an exporter that starts later counts from then on."""
    listen = f"127.0.0.1:{free_ports(3)[2]}"
    front = start_front(nginx_metrics_listen=listen, nginx_workers="1")
    assert [front.get("/nowhere").status for _ in range(5)] == [404] * 5
    with _running_exporter(listen):
        # The kernel tells a worker of the last refused datagram at its next one: that one may be lost.
        assert [front.get("/nowhere").status for _ in range(5)] == [404] * 5
        until(lambda: _counts(listen).get(("404", "none"), 0) >= 4, "4 are counted", PATIENCE_S)
        assert _counts(listen)["404", "none"] <= 5


def test_a_quarter_of_the_requests_meets_frozen_replicas_and_alerts_fire(
    shelves: tuple[Node, ...], exporter: str, tmp_path: Path
) -> None:
    """503s of NGINX alone fire ErrorRateHigh and burn the availability budget; without them nothing does."""
    with running_edge(shelves, tmp_path / "edge", "own-answers", replicas=2) as edge:
        quick = {
            "nginx_metrics_listen": exporter,
            "nginx_cache": False,
            "nginx_read_timeout_ms": 200,
        }
        with running_front(tmp_path / "nginx", edge.addresses, **quick) as front:
            before = _everything(edge, exporter)
            for user in range(1, 31):
                assert front.get(f"/v1/users/{user}/recommendations").status == 200
            well = _everything(edge, exporter)
            _all(edge, signal.SIGSTOP)
            try:
                for user in range(1, 11):
                    assert front.get(f"/v1/users/{user}/recommendations").status == 503
            finally:
                _all(edge, signal.SIGCONT)
            until(lambda: _own_503(exporter) == 10, "all are counted", PATIENCE_S)
            frozen = _everything(edge, exporter)
    alerts = [
        ("ErrorRateHigh", "warning"),
        ("ErrorRateHigh", "critical"),
        ("AvailabilityBurnFast", "critical"),
    ]
    promtool.check(tmp_path, before, well, dict.fromkeys(alerts, False))
    promtool.check(tmp_path, before, frozen, dict.fromkeys(alerts, True))


def _all(edge: Edge, number: int) -> None:
    for process in edge.replicas.values():
        os.kill(process.pid, number)


def _own_503(listen: str) -> int:
    return sum(n for (status, _), n in _counts(listen).items() if status == "503")


def _everything(edge: Edge, exporter: str) -> str:
    """Return what Prometheus would scrape of the first replica and of NGINX: the other's share is the same."""
    replica = next(iter(edge.replicas))
    return edge.get(replica, "/metrics").body.decode() + _scrape(exporter)
