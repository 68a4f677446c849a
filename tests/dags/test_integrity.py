"""The DAG files as Airflow reads them."""

import ast
import runpy
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

DAGS = Path(__file__).resolve().parents[2] / "dags"
IDS = ["recommender_train", "recommender_publish", "recommender_rollback", "recommender_replay"]


def test_all_dags_load(dag_bag: Any) -> None:
    """Every DAG file loads and defines the DAG of its name."""
    assert dag_bag.import_errors == {}
    assert sorted(dag_bag.dags) == sorted(IDS)


@pytest.mark.parametrize("dag_id", IDS)
def test_a_dag_explains_itself(dag_bag: Any, dag_id: str) -> None:
    """A DAG shows its module's docstring, has an owner, tags, and retries on every task that is not a wait."""
    dag = dag_bag.dags[dag_id]
    docstring = ast.get_docstring(
        ast.parse((DAGS / f"{dag_id}.py").read_text(encoding="utf-8")), clean=False
    )
    assert dag.doc_md == docstring
    assert "nightshelf" in dag.tags
    for task in dag.tasks:
        assert task.owner == "nightshelf"
        assert task.retries >= 1
        assert task.retry_exponential_backoff


@pytest.mark.usefixtures("dag_bag")
def test_pauses_between_retries_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped settings wait at least 1, 2 and 4 minutes, below twice that, and at most 15 at whatever retry."""
    from airflow.models.taskinstance import TaskInstance  # noqa: PLC0415  # not installed everywhere
    from airflow.sdk import BaseOperator  # noqa: PLC0415  # the same

    monkeypatch.delenv("NIGHTSHELF_RETRY_DELAY_S")
    given = runpy.run_path(str(DAGS / "nightshelf_airflow/settings.py"))["DEFAULT_ARGS"]
    ended = datetime(2026, 11, 24, tzinfo=UTC)

    def minutes(attempt: int, task_id: str) -> float:
        task = BaseOperator(task_id=task_id, **given)
        told = SimpleNamespace(
            task=task,
            dag_id="a",
            task_id=task_id,
            logical_date=None,
            try_number=attempt,
            end_date=ended,
            retry_delay_override=None,
        )
        pause: timedelta = TaskInstance.next_retry_datetime(told) - ended
        return pause / timedelta(minutes=1)

    assert given["retries"] == 3
    for task_id in ("train", "publish", "retire"):
        for attempt, least in ((1, 1), (2, 2), (3, 4)):
            assert least <= minutes(attempt, task_id) < 2 * least
        assert minutes(9, task_id) == 15


@pytest.mark.parametrize("dag_id", IDS)
def test_the_trigger_form_explains_itself(dag_bag: Any, dag_id: str) -> None:
    """Every parameter has a type, a title and a description."""
    params = dag_bag.dags[dag_id].params
    for name in params:
        schema = params.get_param(name).schema
        assert schema["type"], name
        assert schema["title"], name
        assert params.get_param(name).description, name


@pytest.mark.parametrize("path", sorted(DAGS.rglob("*.py")), ids=lambda path: path.name)
def test_dags_import_airflow_and_the_standard_library_only(path: Path) -> None:
    """No DAG file imports the jobs, a third-party library, or templates a logical date."""
    text = path.read_text(encoding="utf-8")
    assert "logical_date" not in text
    allowed = {*sys.stdlib_module_names, "airflow", "pendulum"}
    allowed |= {"nightshelf_airflow"}
    for node in ast.walk(ast.parse(text)):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        for name in names:
            assert name.split(".")[0] in allowed, f"{path.name} imports {name}"


def test_airflow_has_no_jobs_in_its_environment() -> None:
    """The environment that parses the DAGs cannot import what the jobs need."""
    program = "import implicit"
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "ModuleNotFoundError" in process.stderr


def test_trainings_never_share_the_machine(dag_bag: Any) -> None:
    """All work on ratings, models and lists waits for the one slot of one pool, and runs of a DAG take turns."""
    train, publish = dag_bag.dags["recommender_train"], dag_bag.dags["recommender_publish"]
    heavy = ["extract", "validate_interactions", "train", "evaluate", "recommend"]
    assert {train.get_task(task).pool for task in [*heavy, "validate_lists"]} == {"nightshelf"}
    assert publish.get_task("publish").pool == "nightshelf"
    assert train.max_active_runs == publish.max_active_runs == 1


@pytest.mark.usefixtures("dag_bag")
def test_the_schedule_moves_with_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of Los Angeles is scheduled at its midnight there, also where the clocks were set between two of them."""
    from airflow.serialization.decoders import decode_timetable  # noqa: PLC0415  # not installed everywhere
    from airflow.serialization.encoders import encode_timetable  # noqa: PLC0415  # the same

    monkeypatch.setenv("NIGHTSHELF_TIMEZONE", "America/Los_Angeles")
    monkeypatch.syspath_prepend(str(DAGS))
    for name in [one for one in sys.modules if one.startswith("nightshelf_")]:
        monkeypatch.delitem(sys.modules, name)
    dag = runpy.run_path(str(DAGS / "recommender_train.py"))["dag"]
    timetable = decode_timetable(encode_timetable(dag.timetable))
    days = {
        day: timetable._get_partition_info(datetime.fromisoformat(midnight))[1]
        for day, midnight in (
            ("2026-03-08", "2026-03-09T07:00:00+00:00"),
            ("2026-11-01", "2026-11-02T08:00:00+00:00"),
            ("2026-11-20", "2026-11-21T08:00:00+00:00"),
        )
    }
    assert list(days) == list(days.values())
