"""A running Airflow in which a day waits for its drop: later work goes on, and the day is late in the end."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from tests.dags import running_airflow
from tests.dags.airflow_client import until
from tests.dags.running_airflow import TRAIN, Running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def waiting(
    small_books: Path,
    quick_settings: Path,
    days: list[date],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """Airflow with drops up to the day before yesterday, in which yesterday's run waits for its drop."""
    settings = {"NIGHTSHELF_DROP_WAIT_S": "240", "NIGHTSHELF_TRAIN_DEADLINE_S": "1"}
    scratch = tmp_path_factory.mktemp("waiting")
    with running_airflow.started(
        small_books, quick_settings, days[:-1], scratch, settings=settings
    ) as found:
        found.airflow.unpause(TRAIN)
        yield found


def test_a_day_that_waits_holds_up_nobody_and_is_late_in_the_end(
    waiting: Running, days: list[date]
) -> None:
    """Another day trains beside it, and one alert comes, after the wait: the deadline of 1 s is not the wait's."""
    airflow = waiting.airflow
    until(lambda: bool(airflow.runs(TRAIN)), lambda: airflow.runs(TRAIN))
    (scheduled,) = airflow.runs(TRAIN)
    waits = scheduled["dag_run_id"]
    until(
        lambda: airflow.tasks(TRAIN, waits)["drop"] == "up_for_reschedule",
        lambda: airflow.tasks(TRAIN, waits),
    )
    other = airflow.trigger(TRAIN, {"partition": str(days[-2])})
    until(
        lambda: airflow.tasks(TRAIN, other).get("extract") == "success",
        lambda: airflow.tasks(TRAIN, other),
    )
    assert airflow.tasks(TRAIN, waits)["drop"] not in {"success", "failed"}
    assert not [one for one in waiting.alertmanager.alerts() if _is_of(one, days[-1])]
    assert airflow.wait(TRAIN, waits) == "failed"
    assert airflow.tasks(TRAIN, waits)["drop"] == "failed"
    until(
        lambda: any(_is_of(one, days[-1]) for one in waiting.alertmanager.alerts()),
        waiting.alertmanager.alerts,
    )
    (alert,) = [one for one in waiting.alertmanager.alerts() if _is_of(one, days[-1])]
    assert alert["labels"]["alertname"] == "ReleaseLate"
    assert "has waited for the drop" in alert["annotations"]["summary"]


def _is_of(alert: dict[str, dict[str, str]], day: date) -> bool:
    return alert["labels"].get("partition") == str(day)
