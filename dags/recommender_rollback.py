"""Go back to a release that is still loaded, at once.

**Started by hand**: the form takes the release id and a reason. `check` refuses an id that is not loaded and lists
those that are. Without an id, `nightshelf rollback` goes back to the previous release.

The release that was live is quarantined: later runs cannot activate the same lists again. Your Airflow user name and
the reason go into the journal.
"""

from typing import Any

from airflow.sdk import DAG, Param, task

from nightshelf_airflow.command import NightshelfOperator, Problem, answer, refuse
from nightshelf_airflow.settings import DEFAULT_ARGS

with DAG(
    dag_id="recommender_rollback",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    # A person starts a rollback and watches it: it fails after one retry.
    default_args={**DEFAULT_ARGS, "retries": 1},
    tags=["nightshelf", "rollback"],
    params={
        "release": Param(
            None,
            type=["null", "string"],
            pattern=r"^\d{4}-\d{2}-\d{2}-[0-9a-f]{8}$",
            title="Release to go back to",
            description="A loaded release, e.g. 2026-11-22-0a1b2c3d. Empty: the one that was live before.",
        ),
        "reason": Param(
            "",
            type="string",
            minLength=3,
            title="Reason",
            description="Why; kept in the journal with your name.",
        ),
    },
) as dag:

    @task
    def check(params: dict[str, Any] | None = None) -> str:
        """Refuse a release that is not loaded, with the list of those that are."""
        given = (params or {}).get("release")
        known = answer(["releases"])
        loaded = [release for release in known["loaded"] if release != known["live"]]
        if given and given not in loaded:
            state = "live" if given == known["live"] else "not loaded"
            refuse(
                Problem(
                    f"release {given} cannot be gone back to: it is {state}",
                    "the form's field Release to go back to",
                    f"trigger again with one of: {', '.join(loaded) or '(no other release is loaded)'}",
                )
            )
        return given or ""

    rollback = NightshelfOperator(
        task_id="rollback",
        arguments=["rollback", "--by", "{{ dag_run.triggering_user_name or 'airflow' }}"],
        options={"--to": "{{ ti.xcom_pull('check') }}", "--reason": "{{ params.reason }}"},
    )

    check() >> rollback
