"""Airflow as it is run: real api-server, scheduler and dag-processor, a real cluster, an edge replica, a browser.

One Airflow for the module, which the tests use one after another as an engineer would: three days backfilled, a day by
schedule, the reports, a way back by the form.
"""

import json
import os
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
import redis
from playwright.sync_api import Page, expect, sync_playwright

from schemas.environment import Node
from tests.conftest import free_ports
from tests.dags import edge_replica
from tests.dags.airflow_client import AirflowClient, until
from tests.dags.edge_replica import EdgeReplica
from tests.dags.places import JOBS, ROOT

TRAIN, PUBLISH, ROLLBACK = "recommender_train", "recommender_publish", "recommender_rollback"
CHROMIUM = "/usr/bin/chromium"


@dataclass
class Alertmanager:
    """Takes alerts as Alertmanager's API v2 does, and keeps them."""

    port: int
    alerts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Running:
    """A running Airflow and what stands around it."""

    airflow: AirflowClient
    edge: EdgeReplica
    artifacts: Path
    folder: Path
    alertmanager: Alertmanager
    environment: dict[str, str]

    def control(self, command: str) -> None:
        """Carry out `make airflow`'s or `make airflow-down`'s command."""
        program = [str(JOBS / "bin" / "python"), "-m", "deploy.airflow.control", command]
        subprocess.run(program, cwd=ROOT, env=self.environment, check=True)

    def processes(self) -> list[psutil.Process]:
        """Return the process manager and everything below it."""
        manager = psutil.Process(int((self.folder / "supervisord.pid").read_text()))
        return [manager, *manager.children(recursive=True)]


@pytest.fixture(scope="module")
def alertmanager() -> Iterator[Alertmanager]:
    """A receiver of alerts on loopback."""
    found = Alertmanager(0)

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path == "/api/v2/alerts":
                found.alerts += json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def running(  # noqa: PLR0917  # fixtures
    redis_cluster: tuple[Node, ...],
    small_books: Path,
    quick_settings: Path,
    days: list[date],
    alertmanager: Alertmanager,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """Start everything on an empty shelf, and land the drops by the DAG that does this."""
    for node in redis_cluster:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()
    addresses = ",".join(f"{node.host}:{node.port}" for node in redis_cluster)
    artifacts, folder = tmp_path_factory.mktemp("artifacts"), tmp_path_factory.mktemp("airflow")
    airflow_port, edge_port = free_ports(2)
    environment = {
        **os.environ,
        "NIGHTSHELF_AIRFLOW_FOLDER": str(folder),
        "NIGHTSHELF_AIRFLOW_PORT": str(airflow_port),
        "NIGHTSHELF_AIRFLOW_ENVIRONMENT": os.environ["VIRTUAL_ENV"],
        "NIGHTSHELF_ARTIFACTS": str(artifacts),
        "NIGHTSHELF_REDIS": addresses,
        "NIGHTSHELF_MODEL_SETTINGS": str(quick_settings),
        "NIGHTSHELF_POKE_S": "2",
        "NIGHTSHELF_TRAIN_DEADLINE_S": "1",
        "NIGHTSHELF_ALERTMANAGER": f"http://127.0.0.1:{alertmanager.port}",
    }
    with edge_replica.running(JOBS / "bin" / "nightshelf-edge", addresses, edge_port) as edge:
        client = AirflowClient(f"http://127.0.0.1:{airflow_port}", "")
        found = Running(client, edge, artifacts, folder, alertmanager, environment)
        try:
            found.control("up")
            client.password = json.loads((folder / "passwords.json").read_text())["admin"]
            landed = client.trigger(
                "recommender_replay",
                {
                    "source": str(small_books),
                    "first_day": str(days[0]),
                    "last_day": str(days[-1]),
                    "first_day_share": 0.9,
                },
            )
            assert client.wait("recommender_replay", landed) == "success"
            yield found
        finally:
            found.control("down")


@pytest.fixture(scope="module")
def backfilled(running: Running, days: list[date]) -> list[dict[str, Any]]:
    """Backfill the three days before yesterday by REST, as many at a time as Airflow likes; yesterday's drop is late."""
    newest = running.artifacts / "drops" / "ratings" / f"ds={days[-1]}"
    late = newest.rename(running.artifacts / "late")
    request = {
        "dag_id": TRAIN,
        "from_date": f"{days[-4]}T00:00:00Z",
        "to_date": f"{days[-2]}T00:00:00Z",
        "max_active_runs": 3,
        "reprocess_behavior": "none",
        "run_backwards": False,
        "dag_run_conf": {},
    }
    status, content = running.airflow.call("POST", "/api/v2/backfills", request)
    assert status == 200, content
    running.airflow.unpause(TRAIN)
    until(lambda: len(running.airflow.runs(TRAIN)) == 4, lambda: running.airflow.runs(TRAIN))
    for run in running.airflow.runs(TRAIN):
        assert running.airflow.wait(TRAIN, run["dag_run_id"]) == "success", running.airflow.tasks(
            TRAIN, run["dag_run_id"]
        )
    published(running, 3)
    late.rename(newest)
    return [run for run in running.airflow.runs(TRAIN) if run["run_type"] == "backfill"]


def published(running: Running, runs: int) -> None:
    """Wait until `recommender_publish` has ended that many runs."""
    until(lambda: len(running.airflow.runs(PUBLISH)) == runs, lambda: running.airflow.runs(PUBLISH))
    for run in running.airflow.runs(PUBLISH):
        state = running.airflow.wait(PUBLISH, run["dag_run_id"])
        assert state == "success", running.airflow.tasks(PUBLISH, run["dag_run_id"])


def release_of(running: Running, run: dict[str, Any]) -> str:
    """Return the release that a run of `recommender_train` made."""
    return str(running.airflow.xcom(TRAIN, run["dag_run_id"], "extract")["release"])


def test_a_backfill_means_something(
    running: Running, backfilled: list[dict[str, Any]], days: list[date], small_books: Path
) -> None:
    """Three days give three releases, each judged against the day before; the newest is live and served."""
    assert [run["partition_key"] for run in backfilled] == [str(day) for day in days[-4:-1]]
    releases = [release_of(running, run) for run in backfilled]
    assert len(set(releases)) == 3
    references = [running.airflow.xcom(TRAIN, run["dag_run_id"], "reference") for run in backfilled]
    assert references == ["none", *releases[:2]]
    running.edge.wait_for(releases[-1])
    with (small_books / "ratings.csv").open(encoding="utf-8-sig") as file:
        header = file.readline().strip().split(",")
        user = file.readline().split(",")[header.index("user_id")]
    answer = running.edge.get(f"/v1/users/{user}/recommendations?limit=10")
    assert answer["release"] == releases[-1]
    assert len(answer["items"]) == 10


def test_one_more_day_by_schedule(
    running: Running, backfilled: list[dict[str, Any]], days: list[date]
) -> None:
    """Tonight's scheduled run was skipped for want of a drop; cleared once it has come, it goes live."""
    assert backfilled
    (scheduled,) = [run for run in running.airflow.runs(TRAIN) if run["run_type"] == "scheduled"]
    assert scheduled["partition_key"] == str(days[-1])
    run_id = scheduled["dag_run_id"]
    assert running.airflow.tasks(TRAIN, run_id)["extract"] == "skipped"
    body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False}
    path = f"/api/v2/dags/{TRAIN}/clearTaskInstances"
    assert running.airflow.call("POST", path, body)[0] == 200
    until(lambda: running.airflow.tasks(TRAIN, run_id)["extract"] != "skipped", lambda: run_id)
    assert running.airflow.wait(TRAIN, run_id) == "success", running.airflow.tasks(TRAIN, run_id)
    published(running, 4)
    assert running.airflow.xcom(TRAIN, run_id, "reference") == release_of(running, backfilled[-1])
    running.edge.wait_for(release_of(running, scheduled))


def test_the_same_work_twice(
    running: Running, backfilled: list[dict[str, Any]], days: list[date]
) -> None:
    """A second backfill of a day is recognised: the same id, every step reused, nothing loaded."""
    request = {
        "dag_id": TRAIN,
        "from_date": f"{days[-2]}T00:00:00Z",
        "to_date": f"{days[-2]}T00:00:00Z",
        "max_active_runs": 1,
        "reprocess_behavior": "completed",
        "run_backwards": False,
        "dag_run_conf": {},
    }
    assert running.airflow.call("POST", "/api/v2/backfills", request)[0] == 200
    until(lambda: len(running.airflow.runs(TRAIN)) == 5, lambda: running.airflow.runs(TRAIN))
    again = running.airflow.runs(TRAIN)[-1]
    assert running.airflow.wait(TRAIN, again["dag_run_id"]) == "success"
    assert release_of(running, again) == release_of(running, backfilled[-1])
    for task in ("extract", "train", "recommend"):
        assert running.airflow.xcom(TRAIN, again["dag_run_id"], task)["reused"] is True, task
    live = running.edge.release()
    published(running, 5)
    states = running.airflow.tasks(PUBLISH, running.airflow.runs(PUBLISH)[-1]["dag_run_id"])
    assert states["publish"] == states["activate"] == "skipped"
    assert running.edge.release() == live


def test_a_late_day_is_reported(running: Running, backfilled: list[dict[str, Any]]) -> None:
    """A run that is not done by its deadline raises an alert that names the day."""
    wanted = {run["partition_key"] for run in backfilled}
    alerts = running.alertmanager.alerts
    until(lambda: wanted <= {alert["labels"]["partition"] for alert in alerts}, lambda: alerts)
    assert {alert["labels"]["alertname"] for alert in alerts} == {"ReleaseLate"}
    assert {alert["labels"]["dag"] for alert in alerts} == {TRAIN}


def test_nothing_listens_beyond_loopback(running: Running) -> None:
    """All sockets of all of Airflow's processes are on loopback, and its secrets are for their owner alone."""
    listening = [
        connection.laddr
        for process in running.processes()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert [address.ip for address in listening] == ["127.0.0.1"]
    for name in ("secret", "passwords.json"):
        assert (running.folder / name).stat().st_mode & 0o777 == 0o600
    configuration = (running.folder / "supervisord.conf").read_text(encoding="utf-8")
    assert (running.folder / "secret").read_text().strip() not in configuration


@pytest.mark.parametrize(
    "path",
    [
        "/nightshelf/reports/",
        "/nightshelf/reports/2026-01-01-00000000/report.html",
        "/nightshelf/runs/recommender_train/some-run",
        "/nightshelf/openapi.json",
        "/nightshelf/docs",
    ],
)
def test_reports_ask_for_the_login(running: Running, path: str) -> None:
    """Without a login no report, no index and no description of the pages is served."""
    status, _ = running.airflow.call("GET", path, token=False)
    assert status in ({401, 403} if "reports" in path or "runs" in path else {401, 403, 404})


@pytest.mark.parametrize(
    "path",
    [
        "/nightshelf/reports/../../../passwords.json",
        "/nightshelf/reports/..%2f..%2fpasswords.json/report.html",
        "/nightshelf/reports/%2e%2e/report.html",
        "/nightshelf/reports/2026-01-01-00000000%2f..%2f..%2freport.html",
        "/nightshelf/reports//etc/passwd",
    ],
)
def test_reports_lead_nowhere_else(running: Running, path: str) -> None:
    """A path out of the releases folder finds nothing, with a login too."""
    status, content = running.airflow.call("GET", path)
    assert status == 404
    assert "root:" not in str(content)


def test_a_report_loads_nothing(running: Running, backfilled: list[dict[str, Any]]) -> None:
    """A served report may load nothing from anywhere, by its own text and by the browser's orders."""
    release = release_of(running, backfilled[0])
    request = urllib.request.Request(  # noqa: S310  # our own loopback URL
        f"{running.airflow.url}/nightshelf/reports/{release}/report.html",
        headers={"Authorization": f"Bearer {running.airflow._token}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # the same
        text = answer.read().decode()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Cache-Control"] == "no-store"
    assert release in text
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text)


@pytest.fixture
def page(running: Running) -> Iterator[Page]:
    """A page of headless Chromium, logged in as a person does; no request may leave the machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 850})
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(running.airflow.url)
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", running.airflow.password)
        page.click("button[type=submit]")
        page.wait_for_url(f"{running.airflow.url}/")
        yield page
        browser.close()
    own = (running.airflow.url, "data:", "blob:")
    assert not [url for url in asked if not url.startswith(own)]


def test_what_an_engineer_sees(
    running: Running, backfilled: list[dict[str, Any]], page: Page, tmp_path: Path
) -> None:
    """The DAGs, a run, its report, the index of reports: all reached from the UI."""
    url = running.airflow.url
    screenshots = Path(os.environ.get("NIGHTSHELF_SCREENSHOTS", tmp_path))
    page.goto(f"{url}/dags")
    for dag in (TRAIN, PUBLISH, ROLLBACK, "recommender_replay"):
        expect(page.get_by_role("link", name=dag, exact=True)).to_be_visible()
    page.screenshot(path=screenshots / "dags.png")

    run = backfilled[-1]["dag_run_id"]
    page.goto(f"{url}/dags/{TRAIN}/runs/{quote(run, safe='')}")
    expect(page.get_by_text("validate_lists").first).to_be_visible()
    page.screenshot(path=screenshots / "run.png")
    page.get_by_role("link", name="Report", exact=True).click()
    release = release_of(running, backfilled[-1])
    report = page.frame_locator("iframe")
    expect(report.get_by_text(release).first).to_be_visible()
    page.screenshot(path=screenshots / "report.png")

    page.goto(url)
    page.get_by_role("link", name="Reports").or_(page.get_by_role("button", name="Reports")).first.click()  # fmt: skip
    index = page.frame_locator("iframe")
    expect(index.get_by_text(release).first).to_be_visible()
    page.screenshot(path=screenshots / "reports.png")
    index.locator(f"a[href*='{release}']").first.click()
    expect(page.frame_locator("iframe").locator("h1").first).to_be_visible()


def test_the_way_back_by_the_form(
    running: Running, backfilled: list[dict[str, Any]], page: Page, tmp_path: Path
) -> None:
    """The rollback form, filled in by a person, brings the release of the day before back to the readers."""
    screenshots = Path(os.environ.get("NIGHTSHELF_SCREENSHOTS", tmp_path))
    target = release_of(running, backfilled[-1])
    assert running.edge.release() != target
    page.goto(f"{running.airflow.url}/dags/{ROLLBACK}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.locator("input[name='element_release']").fill(target)
    form.locator("input[name='element_reason']").fill("the newest is worse")
    page.screenshot(path=screenshots / "rollback.png")
    form.get_by_role("button", name="Trigger").click()
    until(lambda: bool(running.airflow.runs(ROLLBACK)), lambda: "no run of the rollback")
    run = running.airflow.runs(ROLLBACK)[0]["dag_run_id"]
    assert running.airflow.wait(ROLLBACK, run) == "success", running.airflow.log(
        ROLLBACK, run, "rollback"
    )
    running.edge.wait_for(target)
    history = subprocess.run(
        [str(JOBS / "bin" / "nightshelf"), "releases", "--history"],
        env=running.environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    entry = [found for found in json.loads(history)["journal"] if found["kind"] == "rollback"][-1]
    assert (entry["who"], entry["why"], entry["to"]) == ("admin", "the newest is worse", target)


def test_stopping_stops_everything(running: Running) -> None:
    """`down` ends every process of Airflow, and nothing answers any more."""
    before = running.processes()
    running.control("down")
    assert not [process for process in before if process.is_running()]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(running.airflow.url, timeout=5)
