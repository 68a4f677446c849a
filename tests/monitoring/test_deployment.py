"""A running deployment: what rules and dashboards ask for is emitted, and the right people hear of the right things."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.dashboards.boards import BOARDS
from monitoring.dashboards.build import FOLDER
from tests.monitoring import asked
from tests.monitoring.asking import get, until
from tests.monitoring.deployment import Deployment
from tests.monitoring.hearing import AMBIENT, firing, heard

# Each wait may last 240 s, and what is waited for comes within seconds on a machine that is not busy.
pytestmark = pytest.mark.timeout(900)

QUERIES = [
    pytest.param(query, id=name)
    for name, query in asked.panels().items()
    if not asked.is_airflows(query)
]


@pytest.fixture(scope="module")
def visited(deployment: Deployment) -> Deployment:
    """The deployment after some requests: known and unknown users, batches, books, a mistake."""

    def seen() -> object:
        # A counter that is first seen at 8 has no rate: it takes requests before and after a scrape.
        # NGINX would refuse that many at once from one address.
        for name in ("edge-a", "edge-b"):
            for user in (*range(1, 8), 999_999):
                get(deployment.url(name, f"/v1/users/{user}/recommendations"))
            get(deployment.url(name, "/v1/recommendations?user_id=1&user_id=999999"))
        return deployment.ask('sum(rate(nightshelf_edge_requests_total{source="als"}[5m])) > 0')

    until(seen, "traffic is seen")
    until(lambda: deployment.ask("nightshelf:data_age_seconds"), "rules are evaluated")
    until(lambda: not deployment.ask("up == 0"), "every target answers")
    return deployment


@pytest.fixture
def contained(tmp_path: Path) -> Iterator[str]:
    """A Redis server in a cgroup named as Docker names a container's; gives the container's id."""
    container = "0123456789ab" + 52 * "c"
    root = Path("/sys/fs/cgroup")
    group = (root / "memory" if (root / "memory").is_dir() else root) / f"docker-{container}.scope"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"cgroups cannot be made here: {error}")
    command = [
        "redis-server",
        "--port",
        "0",
        "--save",
        "",
        "--unixsocket",
        str(tmp_path / "socket"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        (group / "cgroup.procs").write_text(str(process.pid))
        yield container
        process.terminate()
    group.rmdir()


@pytest.mark.usefixtures("contained")
def test_every_metric_that_is_asked_for_is_emitted_with_its_labels(visited: Deployment) -> None:
    """Each name in a rule or a panel is a series of a real process, and has the labels the query names."""
    found = {key: place for key, place in asked.metrics().items() if not asked.is_airflows(key[0])}
    assert len({name for name, _ in found}) > 60
    until(
        lambda: visited.ask('namedprocess_namegroup_num_procs{container!=""}'),
        "a container is told of",
    )
    missing: list[str] = []

    def all_are_there() -> bool:
        by_name: dict[str, list[dict[str, Any]]] = {}
        for one in visited.ask('{__name__!=""}'):
            by_name.setdefault(one["metric"]["__name__"], []).append(one)
        missing[:] = asked.missing(found, lambda name: by_name.get(name, []))
        return not missing

    # Postgres's exporter tries an absent database for 1 s, a scrape may take 3 s: a busy machine cuts some off, and
    # their series are gone until the next.
    until(all_are_there, missing)


@pytest.mark.parametrize("query", QUERIES)
def test_each_panel_shows_something(visited: Deployment, query: str) -> None:
    """The query of a panel, asked of the real Prometheus, gives at least one series."""
    until(lambda: visited.ask(query), query)


def test_a_healthy_deployment_is_quiet(visited: Deployment) -> None:
    """After a day's run and some requests nothing fires but what is about this machine."""
    until(lambda: "DeadMansSwitch" in firing(visited), "the switch that is always on")
    assert firing(visited) <= AMBIENT


def test_an_activation_is_marked_on_every_dashboard(visited: Deployment) -> None:
    """The annotation's query gives nothing before another release goes live, and a series from then on."""
    queries = {
        one["expr"]
        for board in BOARDS
        for one in json.loads((FOLDER / f"{board.name}.json").read_text("utf-8"))["annotations"][
            "list"
        ]
        if one["name"] == "activations"
    }
    assert len(queries) == 1
    (query,) = queries
    assert not visited.ask(query)
    visited.go_live(datetime.now(UTC) - timedelta(hours=1), 3)
    until(lambda: visited.ask(query), "the activation is marked")


def test_a_program_in_a_container_has_its_id(visited: Deployment, contained: str) -> None:
    """It stands apart from the same program outside, with the first 12 digits of the container's id."""
    series = (
        f'namedprocess_namegroup_num_procs{{program="redis-server", container="{contained[:12]}"}}'
    )
    until(lambda: visited.ask(f"{series} == 1"), "the container is told of")
    outside = 'sum(namedprocess_namegroup_num_procs{program="redis-server", container=""}) >= 6'
    until(lambda: visited.ask(outside), "those outside are told of apart")


def test_a_stale_model_is_told_and_a_new_one_ends_it(quiet: Deployment) -> None:
    """Inactive, pending, firing, received by the webhook with its numbers; resolved once a new release is published."""
    states: list[str] = []

    def fires() -> bool:
        now = quiet.state("ModelStale", "warning")
        if not states or states[-1] != now:
            states.append(now)
        return now == "firing"

    assert quiet.state("ModelStale", "warning") == "inactive"
    # In 20 s the newest row will be 30 h old: nobody has retrained since.
    quiet.go_live(datetime.now(UTC) - timedelta(hours=30) + timedelta(seconds=20), 1)
    until(fires, "ModelStale fires")
    # Where publishing took longer than that, it was never seen inactive with this release.
    assert states[-2:] == ["pending", "firing"]
    assert states[:-2] in ([], ["inactive"])
    until(lambda: "ModelStale" in heard(quiet), "the webhook receives it")
    told = next(
        one for one in quiet.receiver.received if one["labels"]["alertname"] == "ModelStale"
    )
    assert told["labels"]["severity"] == "warning"
    assert "data that is 1d 6h " in told["annotations"]["description"]
    assert told["annotations"]["runbook_url"] == "monitoring/runbook.md#modelstale"
    assert heard(quiet) == {"ModelStale"}
    quiet.go_live(datetime.now(UTC) - timedelta(hours=1), 2)
    until(lambda: "ModelStale" in quiet.receiver.names("resolved"), "the webhook hears the end")
