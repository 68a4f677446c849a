"""What people see of a running Airflow, and what nobody sees without its login; the way back; the end.

The Airflow of test_running_days.py, its pages in headless Chromium.
"""

import contextlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.dags import browser
from tests.dags.airflow_client import until
from tests.dags.running_airflow import PUBLISH, ROLLBACK, TRAIN, Running, release_of
from tests.dags.spoiling import spoilt

#: style.css's --paper.
_GROUNDS = {"light": "rgb(252, 251, 248)", "dark": "rgb(23, 22, 19)"}

#: The first test waits for Airflow's start and three days of work.
pytestmark = pytest.mark.timeout(3600)


def test_nothing_listens_beyond_loopback(running: Running) -> None:
    """All sockets of all of Airflow's processes are on loopback, and its secrets are for their owner alone."""
    listening = []
    for process in running.processes():
        with contextlib.suppress(psutil.NoSuchProcess):  # a task that has just ended
            listening += [
                connection.laddr
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
        "/nightshelf/reports/2026-01-01-00000000/model.html",
        "/nightshelf/reports/stopped/2026-01-01-00000000/report.html",
        "/nightshelf/runs/report/recommender_train/some-run",
        "/nightshelf/runs/model/recommender_train/some-run",
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
        "/nightshelf/reports/stopped/..%2f..%2fpasswords.json/report.html",
        "/nightshelf/reports/stopped/%2e%2e/report.html",
        "/nightshelf/reports/2026-01-01-00000000/decision.html",
        "/nightshelf/runs/report/recommender_replay/some-run",
    ],
)
def test_reports_lead_nowhere_else(running: Running, path: str) -> None:
    """A path out of the releases folder finds nothing, with a login too."""
    status, content = running.airflow.call("GET", path)
    assert status in {404, 422}
    assert "root:" not in str(content)


@pytest.mark.parametrize("name", ["report", "model"])
def test_a_report_loads_nothing(
    running: Running, backfilled: list[dict[str, Any]], name: str
) -> None:
    """A served report may load nothing from anywhere, by its own text and by the browser's orders."""
    release = release_of(running, backfilled[0])
    request = urllib.request.Request(  # noqa: S310  # our own loopback URL
        f"{running.airflow.url}/nightshelf/reports/{release}/{name}.html",
        headers={"Authorization": f"Bearer {running.airflow._token}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # the same
        text = answer.read().decode()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Cache-Control"] == "no-store"
    assert release in text
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text)


@pytest.fixture(scope="module")
def page(running: Running, screenshots: Path) -> Iterator[Page]:
    """A page of headless Chromium, logged in once for all tests; no request may leave the machine."""
    with browser.logged_in(running.airflow, screenshots) as found:
        yield found


def test_what_an_engineer_sees(
    running: Running, backfilled: list[dict[str, Any]], page: Page, screenshots: Path
) -> None:
    """The DAGs, none of them broken; a run and its two reports; the index, which leads to both."""
    url = running.airflow.url
    assert running.airflow.get("/importErrors")["import_errors"] == []
    page.goto(f"{url}/dags")
    for dag in (TRAIN, PUBLISH, ROLLBACK, "recommender_replay"):
        expect(page.get_by_role("link", name=dag, exact=True)).to_be_visible()
    page.screenshot(path=screenshots / "dags.png")

    run = backfilled[-1]["dag_run_id"]
    page.goto(f"{url}/dags/{TRAIN}/runs/{quote(run, safe='')}")
    expect(page.get_by_text("validate_lists").first).to_be_visible()
    page.screenshot(path=screenshots / "run.png")
    release = release_of(running, backfilled[-1])
    shown = page.frame_locator("iframe")
    for name, heading in (("Data", "Data of "), ("Model", "Model of ")):
        page.get_by_role("link", name=f"{name} report", exact=True).click()
        expect(shown.get_by_role("heading", name=heading).first).to_be_visible()
        expect(shown.get_by_text(release).first).to_be_visible()
        page.screenshot(path=screenshots / f"{name.lower()}.png")

    page.goto(url)
    page.get_by_role("link", name="Reports").or_(page.get_by_role("button", name="Reports")).first.click()  # fmt: skip
    expect(shown.get_by_role("heading", name="All runs")).to_be_visible()
    page.screenshot(path=screenshots / "reports.png")
    shown.locator(f"a[href='{release}/report.html']").click()
    expect(shown.get_by_role("heading", name="Data of ")).to_be_visible()
    shown.get_by_role("link", name="Model of this release").click()
    expect(shown.get_by_role("heading", name="Model of ").first).to_be_visible()


def test_a_stopped_day_is_told(
    running: Running,
    backfilled: list[dict[str, Any]],
    days: list[date],
    page: Page,
    screenshots: Path,
) -> None:
    """The tabs of a run without a release say why it has none; the index of all runs leads to the same page."""
    assert backfilled
    (drop,) = (running.artifacts / "drops" / "ratings" / f"ds={days[1]}").glob("*.parquet")
    with spoilt(drop, "a tenth of the rows is broken", running.artifacts):
        run = running.airflow.trigger(TRAIN, {}, str(days[1]))
        assert running.airflow.wait(TRAIN, run) == "failed"
    told = running.airflow.xcom(TRAIN, run, "extract", "problem")
    log = running.airflow.log(TRAIN, run, "extract")
    assert log[0] == f"{told['what']}\n  where: {told['where']}\n  do: {told['do']}"
    page.goto(f"{running.airflow.url}/dags/{TRAIN}/runs/{quote(run, safe='')}")
    shown = page.frame_locator("iframe")
    page.get_by_role("link", name="Model report", exact=True).click()
    expect(shown.get_by_role("heading", name="This run has no release")).to_be_visible()
    expect(shown.get_by_text(told["do"])).to_be_visible()
    page.get_by_role("link", name="Data report", exact=True).click()
    expect(shown.get_by_text("This day was stopped before there was a release")).to_be_visible()
    expect(shown.get_by_text(told["what"])).to_be_visible()
    # By keyboard, as those who use no mouse do.
    shown.get_by_text("Examples").first.press("Enter")
    expect(shown.get_by_text(f"ds={days[1]}/").first).to_be_visible()
    page.screenshot(path=screenshots / "stopped.png")
    shown.get_by_role("link", name="All runs").click()
    shown.get_by_role("link", name=str(days[1])).first.click()
    expect(shown.get_by_text(told["what"])).to_be_visible()


@pytest.fixture
def other_page(page: Page) -> Iterator[Page]:
    """A second page of the same login, to be looked at in other ways."""
    found = page.context.new_page()
    yield found
    found.close()


@pytest.mark.parametrize(
    "view", [(width, light) for width in (390, 1280) for light in ("light", "dark")], ids=str
)
def test_reports_fit_a_phone_and_the_dark(
    running: Running,
    backfilled: list[dict[str, Any]],
    other_page: Page,
    screenshots: Path,
    view: tuple[int, Literal["light", "dark"]],
) -> None:
    """On a phone and at a desk, in light and dark, pages scroll downwards only, and Tab first leads to the content."""
    release, page = release_of(running, backfilled[-1]), other_page
    width, light = view
    page.set_viewport_size({"width": width, "height": 850})
    page.emulate_media(color_scheme=light)
    for name, path in {
        "index": "index",
        "data": f"{release}/report",
        "model": f"{release}/model",
    }.items():
        page.goto(f"{running.airflow.url}/nightshelf/reports/{path}.html")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == _GROUNDS[light]
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')").startswith("#")
        page.screenshot(path=screenshots / f"{name}-{width}-{light}.png", full_page=True)


def test_a_request_for_approval_leads_to_the_reports(
    running: Running, backfilled: list[dict[str, Any]], page: Page, screenshots: Path
) -> None:
    """Who is asked sees the reasons and can open the page of the model from there."""
    assert backfilled
    asked = running.airflow.get("/dags/~/dagRuns/~/hitlDetails")["hitl_details"][0]["task_instance"]
    run = quote(asked["dag_run_id"], safe="")
    page.goto(
        f"{running.airflow.url}/dags/{PUBLISH}/runs/{run}/tasks/{asked['task_id']}/required_actions"
    )
    expect(page.get_by_text("Why it is on hold")).to_be_visible()
    page.screenshot(path=screenshots / "approval.png")
    page.goto(str(page.get_by_role("link", name="the model").get_attribute("href")))
    expect(page.get_by_role("heading", name="Model of ").first).to_be_visible()


def test_the_way_back_by_the_form(
    running: Running, backfilled: list[dict[str, Any]], page: Page, screenshots: Path
) -> None:
    """The rollback form, filled in by a person, brings the release that was live before back to the readers."""
    assert backfilled
    target = running.nightshelf("releases")["previous"]
    assert running.edge.release() != target
    page.goto(f"{running.airflow.url}/dags/{ROLLBACK}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.locator("input[name='element_release']").fill(target)
    form.locator("input[name='element_reason']").fill("the newest is worse")
    # What was typed is in the run's configuration a moment later: the form is sent once it is.
    expect(form.locator("input[name='element_reason']")).to_have_value("the newest is worse")
    page.screenshot(path=screenshots / "rollback.png")
    form.get_by_role("button", name="Trigger").click()
    until(lambda: bool(running.airflow.runs(ROLLBACK)), lambda: "no run of the rollback")
    (found,) = running.airflow.runs(ROLLBACK)
    assert found["conf"] == {"release": target, "reason": "the newest is worse"}
    run = found["dag_run_id"]
    assert running.airflow.wait(ROLLBACK, run) == "success", running.airflow.failures(ROLLBACK, run)
    running.edge.wait_for(target)
    history = running.nightshelf("releases", "--history")["journal"]
    entry = [found for found in history if found["action"] == "rollback"][-1]
    assert (entry["who"], entry["why"], entry["to"]) == ("admin", "the newest is worse", target)


def test_stopping_stops_everything(running: Running) -> None:
    """`down` ends every process of Airflow, and nothing answers any more."""
    before = running.processes()
    running.control("down")
    assert not [process for process in before if process.is_running()]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(running.airflow.url, timeout=5)  # noqa: S310  # our own URL
