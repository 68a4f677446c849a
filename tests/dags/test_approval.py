"""A release on hold: asked for, approved, rejected, or met with silence.

The real operator in the real DAG; answers are given by the function behind Airflow's REST API, and silence ends by the
scheduler's own sweep. The shelf of test_chain.py: each test leaves the first day's release live.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from tests.dags.shelf import Shelf, announced, states


@dataclass
class Person:
    """Answers every open request with `option` and keeps what was asked."""

    option: str
    reason: str
    asked: list[str] = field(default_factory=list)

    def __call__(self) -> None:
        """Answer if there is something to answer."""
        from airflow.api_fastapi.auth.managers.simple.user import (  # noqa: PLC0415  # not installed everywhere
            SimpleAuthManagerUser,
        )
        from airflow.api_fastapi.core_api.datamodels.hitl import (  # noqa: PLC0415  # the same
            UpdateHITLDetailPayload,
        )
        from airflow.api_fastapi.core_api.routes.public.hitl import (  # noqa: PLC0415  # the same
            update_hitl_detail,
        )
        from airflow.utils.session import create_session  # noqa: PLC0415  # the same

        answer = UpdateHITLDetailPayload(
            chosen_options=[self.option], params_input={"reason": self.reason}
        )
        with create_session(scoped=False) as session:
            for detail in _open_requests(session):
                task = detail.task_instance
                self.asked.append(f"{detail.subject}\n{detail.body}")
                update_hitl_detail(
                    dag_id=task.dag_id,
                    dag_run_id=task.run_id,
                    task_id=task.task_id,
                    update_hitl_detail_payload=answer,
                    user=SimpleAuthManagerUser(username="ada", role="op"),
                    session=session,
                )


def silence() -> None:
    """Answer nothing, and let the scheduler look whether the time is over."""
    from airflow.jobs.job import Job  # noqa: PLC0415  # not installed everywhere
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner  # noqa: PLC0415  # the same
    from airflow.utils.session import create_session  # noqa: PLC0415  # the same

    with create_session(scoped=False) as session:
        SchedulerJobRunner(Job()).check_awaiting_input_timeouts(session=session)


def _open_requests(session: Any) -> list[Any]:
    from airflow.models.hitl import HITLDetail  # noqa: PLC0415  # not installed everywhere
    from sqlalchemy import select  # noqa: PLC0415  # comes with Airflow

    open_ones = select(HITLDetail).where(HITLDetail.responded_at.is_(None))
    found = session.scalars(open_ones).all()
    return [one for one in found if str(one.task_instance.state) == "awaiting_input"]


@pytest.fixture(scope="module")
def held(shelf: Shelf) -> str:
    """The second day's release, trained: too few readers came back for a yes without asking."""
    trained = shelf.run("recommender_train", partition=str(shelf.days[1]))
    assert set(states(trained).values()) == {"success"}, states(trained)
    assert trained.get_task_instance("reference").xcom_pull(task_ids="reference") == shelf.release
    release = announced(trained)
    decision = json.loads(shelf.page(release, "decision.json"))
    assert decision["verdict"] == "hold"
    return release


def _assert_nothing_happened(shelf: Shelf, run: Any, held: str) -> None:
    after = {name: states(run)[name] for name in ("publish", "activate", "retire")}
    assert set(after.values()) == {"skipped"}, states(run)
    known = shelf.nightshelf("releases")
    assert known["live"] == shelf.edge.release() == shelf.release
    assert held not in known["loaded"]


def test_a_rejection_loads_nothing(shelf: Shelf, held: str) -> None:
    """A no ends the run: nothing is loaded, the live release stays."""
    person = Person("Reject", "the lists look odd")
    ended = shelf.run("recommender_publish", release=held, person=person)
    assert len(person.asked) == 1
    _assert_nothing_happened(shelf, ended, held)


def test_silence_is_a_no(shelf: Shelf, held: str) -> None:
    """Without an answer in time the run ends as with a no."""

    def impatient(dag: Any) -> None:
        approve = dag.get_task("approve")
        assert approve.response_timeout == timedelta(hours=12)
        approve.response_timeout = timedelta(milliseconds=1)

    ended = shelf.run("recommender_publish", release=held, person=silence, change=impatient)
    assert states(ended)["approve"] == "success"
    _assert_nothing_happened(shelf, ended, held)


def test_an_approval_goes_live_and_back(
    shelf: Shelf, held: str, own_log: Callable[[], list[str]]
) -> None:
    """A yes makes it live with name and reason; an older release is not loaded again; a rollback goes back."""
    person = Person("Approve", "looked at twenty lists")
    ended = shelf.run("recommender_publish", release=held, person=person)
    assert set(states(ended).values()) == {"success"}, states(ended)
    shelf.edge.wait_for(held)
    (asked,) = person.asked
    assert asked.startswith(f"Release {held} is on hold")
    assert "Why it is on hold" in asked
    assert f"/nightshelf/reports/{held}/model.html" in asked
    assert re.search(r"\| als \| 0\.\d{4} \(0\.\d{4} to 0\.\d{4}\) \|", asked)
    journal = shelf.nightshelf("releases", "--history")["journal"]
    (entry,) = [found for found in journal if found.get("to") == held]
    assert (entry["action"], entry["who"], entry["why"]) == (
        "activate",
        "ada",
        "looked at twenty lists",
    )

    older = shelf.run("recommender_publish", release=shelf.release)
    assert states(older)["publish"] == states(older)["activate"] == "skipped"
    told = f"release {shelf.release} is not newer than the live release {held}"
    # `approve`, `publish`, `activate`
    assert own_log().count(f"skipped: {told}") == 3

    def guard_alone(dag: Any) -> None:
        """Let `activate` be asked, as when a newer release goes live after the look that spares asking."""
        dag.get_task("activate").skip_reason = ""

    loaded = shelf.run(
        "recommender_publish", release=shelf.release, publish_older=True, change=guard_alone
    )
    assert (states(loaded)["publish"], states(loaded)["activate"]) == ("success", "skipped")
    assert any(line.startswith("skipped: ") and "\n  where: " in line for line in own_log())
    assert shelf.edge.release() == held

    back = shelf.run("recommender_rollback", release=shelf.release, reason="the second is worse")
    assert states(back) == {"check": "success", "rollback": "success"}
    shelf.edge.wait_for(shelf.release)
