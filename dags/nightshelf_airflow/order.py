"""The order of partitions: what a run has to wait for before it may choose its reference release.

In: a partition and Airflow's own record of runs. Out: the runs that could still change the answer. Guarantees that
no run waits for a later partition, nor for an earlier one whose release could not become the reference any more,
so that a backfill of old days never holds up tonight's run.
"""

from datetime import date
from typing import Any

from nightshelf_airflow.command import Problem, answer, refuse

TRAIN, PUBLISH = "recommender_train", "recommender_publish"
#: The task of a training that waits for the day's drop, where there is one, and its state between two looks.
DROP, _WAITS = "drop", "up_for_reschedule"
#: In each of the two DAGs: the task whose XCom is the run's partition, and the last task.
FIRST, LAST = "partition", {TRAIN: "announce", PUBLISH: "retire"}
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def require_partition(key: str | None, param: str | None) -> str:
    """Return the run's partition. Raises AirflowFailException when there is none or it is no day."""
    given = key or param
    try:
        return date.fromisoformat(given or "").isoformat()
    except ValueError:
        what = f"{given!r} is no day" if given else "this run has no partition"
        refuse(
            Problem(
                what,
                "the run's partition key",
                "trigger the DAG again with a day (YYYY-MM-DD) as partition key, or backfill a range of days",
            )
        )


def reference_for(partition: str) -> str:
    """Return the id of the newest activated release of an earlier partition, or `none`."""
    return str(answer(["releases", "--reference-for", partition])["reference"] or "none")


def blocking(ti: Any, dag_id: str, partition: str, states: frozenset[str]) -> list[str]:
    """Return the ids of the runs of `dag_id`, in one of `states`, that could give `partition` a newer reference.

    Those are runs of earlier partitions than this one but later than the present reference's. A run that has
    not said yet which partition it stands for counts too: it will say so in a moment. One that waits for its drop
    does not: nobody knows whether it will come.
    """
    tasks = ti.get_task_states(dag_id=dag_id, task_ids=[LAST[dag_id], DROP])
    open_runs = [
        run
        for run, found in tasks.items()
        if run != ti.run_id
        and _text(found.get(LAST[dag_id])) not in _ENDED
        and _text(found.get(DROP)) != _WAITS
        and _text(ti.get_dagrun_state(dag_id, run)) in states
    ]
    partitions = {
        run: ti.xcom_pull(dag_id=dag_id, task_ids=FIRST, run_id=run, map_indexes=-1)
        for run in open_runs
    }
    if not any(found is None or found < partition for found in partitions.values()):
        return []
    reference = reference_for(partition)
    oldest = "" if reference == "none" else reference[:10]
    return [run for run, found in partitions.items() if found is None or oldest < found < partition]


def _text(state: Any) -> str:
    # States come as text or as members of an Enum, whose hash is not that of its text.
    return str(getattr(state, "value", state))
