"""Seven days backfilled by Airflow's own command, and the same seven again by its form, its command and REST.

A small backfill by REST is in test_running_days.py. Real processes, a cluster of its own, headless Chromium.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dags import browser, running_airflow
from tests.dags.airflow_client import until
from tests.dags.running_airflow import PUBLISH, TRAIN, Running, published, release_of

#: Seven days of work, and three times the same.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def week(days: list[date]) -> list[date]:
    """Seven days up to the day before yesterday: the run that the schedule starts finds no drop."""
    return [days[-1] - timedelta(days=age) for age in range(7, 0, -1)]


@pytest.fixture(scope="module")
def airflow(
    small_books: Path,
    quick_settings: Path,
    week: list[date],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """A running Airflow on a cluster of its own, the week landed."""
    scratch = tmp_path_factory.mktemp("week")
    with running_airflow.started(small_books, quick_settings, week, scratch) as found:
        found.airflow.unpause(TRAIN)
        yield found


@pytest.fixture(scope="module")
def by_command(airflow: Running, week: list[date]) -> list[dict[str, Any]]:
    """Backfill the week by `airflow backfill create` and wait for it."""
    airflow.airflow_command(
        *("backfill", "create", "--dag-id", TRAIN),
        *("--from-date", str(week[0]), "--to-date", str(week[-1])),
    )
    return _ended(airflow, 7)


def _ended(airflow: Running, count: int) -> list[dict[str, Any]]:
    """Wait until so many runs of backfills have ended well and were published; return them by age."""
    until(lambda: len(_backfilled(airflow)) == count, lambda: _backfilled(airflow))
    for run in _backfilled(airflow):
        state = airflow.airflow.wait(TRAIN, run["dag_run_id"])
        assert state == "success", airflow.airflow.failures(TRAIN, run["dag_run_id"])
    published(airflow, count)
    return _backfilled(airflow)


def _backfilled(airflow: Running) -> list[dict[str, Any]]:
    return [run for run in airflow.airflow.runs(TRAIN) if run["run_type"] == "backfill"]


def test_seven_days_by_command(
    airflow: Running, by_command: list[dict[str, Any]], week: list[date]
) -> None:
    """Seven releases, each judged against that of the day before; the newest is live and served."""
    assert [run["partition_key"] for run in by_command] == [str(day) for day in week]
    releases = [release_of(airflow, run) for run in by_command]
    assert len(set(releases)) == 7
    references = [airflow.airflow.xcom(TRAIN, run["dag_run_id"], "reference") for run in by_command]
    assert references == ["none", *releases[:-1]]
    for run in airflow.airflow.runs(PUBLISH):
        assert airflow.airflow.tasks(PUBLISH, run["dag_run_id"])["publish"] == "success"
    assert airflow.nightshelf("releases")["live"] == releases[-1]
    airflow.edge.wait_for(releases[-1])


@dataclass(frozen=True)
class Before:
    """How things stood before the same days were asked for again."""

    first: list[dict[str, Any]]
    runs: int
    releases: dict[str, Any]


@pytest.fixture
def before(airflow: Running, by_command: list[dict[str, Any]]) -> Before:
    """The first time's runs, how many there are by now, and the releases."""
    return Before(by_command, len(_backfilled(airflow)), airflow.nightshelf("releases"))


@pytest.fixture
def page(airflow: Running, screenshots: Path) -> Iterator[Page]:
    """A page of headless Chromium, logged in; no request may leave the machine."""
    with browser.logged_in(airflow.airflow, screenshots) as found:
        yield found


def test_the_same_days_again_by_the_form(
    airflow: Running, before: Before, week: list[date], page: Page, screenshots: Path
) -> None:
    """A person asks for the same days again: the same ids, every step reused, nothing loaded or made live."""
    page.goto(f"{airflow.airflow.url}/dags/{TRAIN}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.get_by_text("Backfill", exact=True).click()
    for day in (week[0], week[-1]):
        form.get_by_text("Select date and time").first.click()
        time = page.get_by_placeholder("HH:mm")
        page.get_by_placeholder("YYYY/MM/DD").fill(f"{day:%Y/%m/%d}")
        time.fill("00:00")
        time.press("Enter")
        page.get_by_role("heading", name="Run Backfill").click()
        expect(time).to_be_hidden()
    form.get_by_text("All Runs").click()
    expect(form.get_by_text("7 runs will be triggered")).to_be_visible()
    page.screenshot(path=screenshots / "backfill.png")
    form.get_by_role("button", name="Run Backfill").click()
    _assert_recognised(airflow, before)


def test_the_same_days_again_by_command(airflow: Running, before: Before, week: list[date]) -> None:
    """The same by `airflow backfill create`, all seven days at a time."""
    airflow.airflow_command(
        *("backfill", "create", "--dag-id", TRAIN),
        *("--from-date", str(week[0]), "--to-date", str(week[-1])),
        *("--reprocess-behavior", "completed", "--max-active-runs", "7"),
    )
    _assert_recognised(airflow, before)


def test_the_same_days_again_by_rest(airflow: Running, before: Before, week: list[date]) -> None:
    """The same by the REST API."""
    assert airflow.backfill(week[0], week[-1], at_a_time=7, reprocess="completed") == 200
    _assert_recognised(airflow, before)


def _assert_recognised(airflow: Running, before: Before) -> None:
    """Wait for seven more days: the same ids, every step reused, nothing loaded or made live."""
    again = _ended(airflow, before.runs + 7)[before.runs :]
    releases = {run["partition_key"]: release_of(airflow, run) for run in before.first}
    assert {run["partition_key"]: release_of(airflow, run) for run in again} == releases
    for run in again:
        for task in ("extract", "train", "recommend"):
            assert airflow.airflow.xcom(TRAIN, run["dag_run_id"], task)["reused"] is True, task
    for run in [run["dag_run_id"] for run in airflow.airflow.runs(PUBLISH)[before.runs :]]:
        if airflow.airflow.xcom(PUBLISH, run, "partition", "release") == before.releases["live"]:
            assert airflow.airflow.xcom(PUBLISH, run, "publish")["already_loaded"] is True
            assert airflow.airflow.xcom(PUBLISH, run, "activate")["already_live"] is True
        else:
            states = airflow.airflow.tasks(PUBLISH, run)
            assert states["publish"] == states["activate"] == "skipped"
    after, old = airflow.nightshelf("releases"), before.releases
    assert (after["generation"], after["live"]) == (old["generation"], old["live"])
    assert set(after["loaded"]) <= set(old["loaded"])
