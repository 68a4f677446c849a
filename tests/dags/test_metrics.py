"""What Airflow tells by StatsD, through collectd, to Prometheus: all that rules and dashboards ask for."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from functools import partial
from typing import Any

import pytest

from deploy.local import monitors
from deploy.local.monitors import MonitoringSettings
from tests.conftest import free_ports
from tests.dags.airflow_client import until
from tests.dags.running_airflow import Running
from tests.monitoring import asked

pytestmark = pytest.mark.timeout(600)

REPLAY = "recommender_replay"

Ask = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def ask(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Ask a real Prometheus that scrapes a real collectd, to which the running Airflow tells its metrics."""
    folder = tmp_path_factory.mktemp("told")
    collectd_port, prometheus_port = free_ports(2)
    settings = MonitoringSettings(
        local_statsd_exporter_port=collectd_port, local_prometheus_port=prometheus_port
    )
    monitors.configure(folder, {"statsd": [{"targets": [settings.address("statsd_exporter")]}]})
    text = (folder / "prometheus.yaml").read_text(encoding="utf-8")
    (folder / "prometheus.yaml").write_text(
        text.replace("scrape_interval: 15s", "scrape_interval: 1s").replace(
            "scrape_timeout: 10s", "scrape_timeout: 1s"
        ),
        encoding="utf-8",
    )
    commands = [
        monitors.exporters(settings, folder, "", running.statsd_port)["statsd-exporter"],
        monitors.servers(settings, folder)["prometheus"],
    ]
    url = f"http://{settings.address('prometheus')}/api/v1/query?"

    def asking(query: str) -> list[dict[str, Any]]:
        text = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(url + text, timeout=10) as answer:  # noqa: S310  # loopback
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    with ExitStack() as stack:
        for command in commands:
            process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            stack.callback(process.terminate)
        yield asking


@pytest.fixture(scope="module")
def after_a_failure(
    running: Running, ask: Ask, days: list[date], tmp_path_factory: pytest.TempPathFactory
) -> Ask:
    """The same after a run whose first task fails for good."""
    until(partial(_answers, ask, "airflow_scheduler_heartbeat_total"), lambda: "no heartbeat", 120)
    nowhere = tmp_path_factory.mktemp("empty") / "nowhere"
    span = {"first_day": str(days[0]), "last_day": str(days[-1])}
    run = running.airflow.trigger(REPLAY, {"source": str(nowhere), **span})
    assert running.airflow.wait(REPLAY, run) == "failed"
    return ask


def test_every_metric_of_airflow_that_is_asked_for_is_emitted(after_a_failure: Ask) -> None:
    """Heartbeats, pools, DAGs and ended tasks, with the labels of rules and panels; a failed task by its name."""
    wanted = {key: place for key, place in asked.metrics().items() if asked.is_airflows(key[0])}
    assert len({name for name, _ in wanted}) >= 8
    ask = after_a_failure
    failed = f'airflow_tasks_finished_total{{dag="{REPLAY}", task="land", state="failed"}} == 1'
    until(lambda: bool(ask(failed)), lambda: ask("airflow_tasks_finished_total"), 60)
    until(lambda: not asked.missing(wanted, ask), lambda: asked.missing(wanted, ask), 120)
    assert {one["metric"]["pool"] for one in ask("airflow_pool_open_slots")} >= {"nightshelf"}
    assert [one["value"][1] for one in ask("airflow_import_errors")] == ["0"]


def test_each_panel_of_airflow_shows_something(after_a_failure: Ask) -> None:
    """Each of its queries, asked of the real Prometheus, gives at least one series."""
    for name, query in asked.panels().items():
        if asked.is_airflows(query):
            until(partial(_answers, after_a_failure, query), partial(str, name), 120)


def _answers(ask: Ask, query: str) -> bool:
    try:
        return bool(ask(query))
    except OSError:  # it starts
        return False
