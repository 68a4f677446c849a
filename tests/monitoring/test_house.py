"""A running house: what rules and dashboards ask for is emitted, and the right people hear of the right things."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitoring.dashboards.boards import BOARDS
from monitoring.dashboards.build import FOLDER
from tests.monitoring import asked, exporters
from tests.monitoring.asking import get, until
from tests.monitoring.house import House

#: Alerts about the machine the test runs on (busy, full), the switch that is always on, and what is not there: the
#: database and Airflow.
_AMBIENT = frozenset(
    {
        *("DeadMansSwitch", "HostCpuHigh", "HostMemoryHigh", "HostDiskFull", "PostgresDown"),
        "AirflowSilent",
        *("LatencyBurnFast", "LatencyBurnSlow", "ResponseTimeHigh"),
    }
)

QUERIES = [
    pytest.param(query, id=name)
    for name, query in asked.panels().items()
    if not asked.is_airflows(query)
]


@pytest.fixture(scope="module")
def visited(house: House) -> House:
    """The house after some requests: known and unknown users, batches, books, a mistake."""

    def seen() -> object:
        # A counter that is first seen at 8 has no rate: it takes requests before and after a scrape.
        # NGINX would refuse that many at once from one address.
        for name in ("edge-a", "edge-b"):
            for user in (*range(1, 8), 999_999):
                get(house.url(name, f"/v1/users/{user}/recommendations"))
        return house.ask('sum(rate(nightshelf_edge_requests_total{source="als"}[5m])) > 0')

    until(seen, "traffic is seen")
    until(lambda: house.ask("nightshelf:data_age_seconds"), "rules are evaluated")
    until(lambda: not house.ask("up == 0"), "every target answers")
    return house


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
def test_every_metric_that_is_asked_for_is_emitted_with_its_labels(visited: House) -> None:
    """Each name in a rule or a panel is a series of a real process, and has the labels the query names."""
    found = {key: place for key, place in asked.metrics().items() if not asked.is_airflows(key[0])}
    assert len({name for name, _ in found}) > 60
    until(
        lambda: visited.ask('namedprocess_namegroup_num_procs{container!=""}'),
        "a container is told of",
    )
    missing: list[str] = []

    def all_are_there() -> bool:
        missing[:] = asked.missing(found, lambda name: visited.ask(f'{{__name__="{name}"}}'))
        return not missing

    # Postgres's exporter tries an absent database for 1 s, a scrape may take 2 s: a busy machine cuts some off, and
    # their series are gone until the next.
    until(all_are_there, missing)


@pytest.mark.parametrize("query", QUERIES)
def test_each_panel_shows_something(visited: House, query: str) -> None:
    """The query of a panel, asked of the real Prometheus, gives at least one series."""
    until(lambda: visited.ask(query), query, 30)


def test_a_healthy_house_is_quiet(visited: House) -> None:
    """After a day's run and some requests nothing fires but what is about this machine."""
    firing = {one["metric"]["alertname"] for one in visited.ask('ALERTS{alertstate="firing"}')}
    assert firing - _AMBIENT == set()
    assert "DeadMansSwitch" in firing


def test_an_activation_is_marked_on_every_dashboard(visited: House) -> None:
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


def test_a_program_in_a_container_has_its_id(visited: House, contained: str) -> None:
    """It stands apart from the same program outside, with the first 12 digits of the container's id."""
    series = (
        f'namedprocess_namegroup_num_procs{{program="redis-server", container="{contained[:12]}"}}'
    )
    until(lambda: visited.ask(f"{series} == 1"), "the container is told of")
    assert visited.ask(
        'sum(namedprocess_namegroup_num_procs{program="redis-server", container=""}) >= 6'
    )


@pytest.fixture
def quiet(house: House) -> House:
    """The house with nothing firing and nothing received."""

    def is_quiet() -> bool:
        firing = {one["metric"]["alertname"] for one in house.ask('ALERTS{alertstate="firing"}')}
        return firing <= _AMBIENT

    until(is_quiet, "the house is quiet")
    house.receiver.received.clear()
    return house


def _told(house: House) -> list[dict[str, str]]:
    """Return the labels of each alert that was received, whatever its status, but those about the machine."""
    labels = (one["labels"] for one in house.receiver.received)
    return [one for one in labels if one["alertname"] not in _AMBIENT]


def _heard(house: House) -> set[str]:
    return house.receiver.names() - _AMBIENT


def test_a_stale_model_is_told_and_a_new_one_ends_it(quiet: House) -> None:
    """Inactive, pending, firing, received by the webhook with its numbers; resolved once a new release is published."""
    states: list[str] = []

    def firing() -> bool:
        now = quiet.state("ModelStale", "warning")
        if not states or states[-1] != now:
            states.append(now)
        return now == "firing"

    assert quiet.state("ModelStale", "warning") == "inactive"
    # In 20 s the newest row will be 30 h old: nobody has retrained since.
    quiet.go_live(datetime.now(UTC) - timedelta(hours=30) + timedelta(seconds=20), 1)
    until(firing, "ModelStale fires")
    # Where publishing took longer than that, it was never seen inactive with this release.
    assert states[-2:] == ["pending", "firing"]
    assert states[:-2] in ([], ["inactive"])
    until(lambda: "ModelStale" in _heard(quiet), "the webhook receives it")
    told = next(
        one for one in quiet.receiver.received if one["labels"]["alertname"] == "ModelStale"
    )
    assert told["labels"]["severity"] == "warning"
    assert "data that is 1d 6h " in told["annotations"]["description"]
    assert told["annotations"]["runbook_url"] == "monitoring/runbook.md#modelstale"
    assert _heard(quiet) == {"ModelStale"}
    quiet.go_live(datetime.now(UTC) - timedelta(hours=1), 2)
    until(lambda: "ModelStale" in quiet.receiver.names("resolved"), "the webhook hears the end")


@pytest.mark.slow
def test_a_killed_edge_replica_is_told_and_nothing_else(quiet: House) -> None:
    """TargetDown with the replica's address; over once it is back."""
    quiet.kill("edge-b")
    until(lambda: _heard(quiet), "something is received")
    told = _told(quiet)
    assert {(one["alertname"], one["job"]) for one in told} == {("TargetDown", "edge")}
    assert {one["instance"] for one in told} == {quiet.url("edge-b").removeprefix("http://")}
    quiet.start_edge("edge-b")
    until(lambda: "TargetDown" in quiet.receiver.names("resolved"), "its end is received")
    assert _heard(quiet) == {"TargetDown"}


@pytest.mark.slow
def test_a_killed_exporter_is_told_and_nothing_else(quiet: House) -> None:
    """TargetDown for the host's exporter alone."""
    quiet.kill("node-exporter")
    until(lambda: _heard(quiet), "something is received")
    told = _told(quiet)
    assert {(one["alertname"], one["job"]) for one in told} == {("TargetDown", "node")}
    exporters.start(quiet, "node")
    until(lambda: "TargetDown" in quiet.receiver.names("resolved"), "its end is received")


@pytest.mark.slow
def test_a_killed_redis_primary_is_told_as_a_failover_and_a_lost_node(quiet: House) -> None:
    """A Redis replica takes over within seconds, so slots never count as uncovered, and no user hears of it."""
    port = quiet.redis[0].port
    quiet.kill(f"redis-{port}")
    until(lambda: "RedisNodeDown" in _heard(quiet), "the lost node is received")
    assert _heard(quiet) == {"RedisFailedOver", "RedisNodeDown"}
    lost = [one for one in _told(quiet) if one["alertname"] == "RedisNodeDown"]
    assert {one["instance"] for one in lost} == {f"127.0.0.1:{port}"}
    assert json.loads(get(quiet.url("edge-a", "/readyz")))["status"] == "ready"
    quiet.start_redis(port)
    until(lambda: "RedisNodeDown" in quiet.receiver.names("resolved"), "its end is received")
