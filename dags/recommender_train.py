"""Train and evaluate the release of one day; `recommender_publish` publishes it.

**A run stands for one partition**, the day in its partition key (`YYYY-MM-DD`). Each midnight (UTC, or of the zone in
`NIGHTSHELF_TIMEZONE`) schedules the day that has just ended. The steps use what had arrived by the end of that day and
nothing later. So a backfill of an old day computes what the run of that night would have computed.

**A day without a drop** is skipped. With `NIGHTSHELF_DROP_WAIT_S` the task `drop` waits that long for the drop, and for
the marker that `NIGHTSHELF_DROP_MARKER` names. It holds no worker meanwhile. Later days continue. Backfills do not
wait. When the wait is over, the run fails and the alert `ReleaseLate` is sent.

**Steps**: extract, validate interactions and books, train, choose the reference release, evaluate, recommend, validate
lists, report, announce. All work runs in the pool `nightshelf` (one slot). `announce` hands the release id to
`recommender_publish` as a partitioned asset event.

**The reference release** is the newest activated release of an earlier partition. Before it is chosen, `turn` waits for
earlier partitions that are being trained. `reference` waits for earlier ones that are being published. So each day of a
backfill is compared with the day before it, however many runs are active at a time.

**Reports**: `report` writes the pages on data and model, also for a day that was stopped. They are the tabs *Data
report* and *Model report* of this run.

**By hand**: trigger with a partition key. A run without one is refused. For several days use a backfill.

**When a task fails**, its log begins with what is wrong, where, and what to do. Exit codes 2, 3 and 4 fail at once,
because a retry gives the same answer. 99 (no new drop) skips the rest of the run. Other codes are retried with growing
pauses.
"""

import logging
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import (
    DAG,
    CronPartitionTimetable,
    Param,
    PokeReturnValue,
    TriggerRule,
    get_current_context,
    task,
)

from nightshelf_airflow import order, waiting
from nightshelf_airflow.command import NightshelfOperator
from nightshelf_airflow.settings import (
    DEFAULT_ARGS,
    POKE_S,
    POOL,
    RELEASES,
    SCHEDULE,
    TIMEZONE,
    TRAIN_DEADLINE,
    WAIT_RETRIES,
    drop_wait,
)

_log = logging.getLogger(__name__)
_RELEASE = "{{ ti.xcom_pull('extract')['release'] }}"
_REFERENCE = ("--reference", "{{ ti.xcom_pull('reference') }}")
#: Between two looks a waiting task occupies no worker, so that any number of days may wait.
_WAIT: dict[str, Any] = {
    "mode": "reschedule",
    "poke_interval": POKE_S,
    "timeout": 86_400,
    "retries": WAIT_RETRIES,
}

#: Nothing: there is no task that waits.
_DROP_WAIT = drop_wait()
_DROP: dict[str, Any] = {
    **_WAIT,
    "task_id": order.DROP,
    # A look is the start of a task and of a command: four times as seldom as those that only ask Airflow.
    "poke_interval": max(POKE_S, min(4 * POKE_S, _DROP_WAIT.total_seconds())),
    # The task itself ends the wait and says so; this is for one that cannot.
    "timeout": _DROP_WAIT.total_seconds() + 86_400,
}


def _step(name: str, *arguments: str, **settings: Any) -> NightshelfOperator:
    return NightshelfOperator(task_id=name, arguments=arguments, pool=POOL, **settings)


with DAG(
    dag_id="recommender_train",
    doc_md=__doc__,
    schedule=CronPartitionTimetable(
        # At midnight the day before is complete: the run of 24 November stands for the 23rd.
        SCHEDULE,
        timezone=TIMEZONE,
        run_offset=-1,
        key_format="%Y-%m-%d",
    ),
    start_date=pendulum.datetime(2017, 1, 1, tz=TIMEZONE),
    catchup=False,
    # Days that wait for their drop delay no later one. Days that train still take turns.
    max_active_runs=1 if not _DROP_WAIT else 2 + _DROP_WAIT.days,
    default_args=DEFAULT_ARGS,
    deadline=waiting.deadlines("a day's lists are late", TRAIN_DEADLINE, _DROP_WAIT),
    tags=["nightshelf", "train"],
    params={
        "partition": Param(
            None,
            type=["null", "string"],
            title="Partition",
            format="date",
            description="The day to train. Leave it empty if the run has a partition key (below, under Advanced "
            "Options). A run with neither is refused.",
        ),
    },
) as dag:

    @task
    def partition(dag_run: Any = None, params: dict[str, Any] | None = None) -> str:
        """Give the day that this run stands for; refuse a run without one."""
        return order.require_partition(dag_run.partition_key, (params or {}).get("partition"))

    @task.sensor(**_DROP)
    def drop(day: str, ti: Any = None, dag_run: Any = None) -> bool:
        """Wait until the day's drop is complete."""
        since = ti.get_first_reschedule_date(get_current_context())
        waited = pendulum.now("UTC") - since if since else timedelta()
        return waiting.here(day, dag_run, waited, _DROP_WAIT)

    @task.sensor(**_WAIT)
    def turn(day: str, ti: Any = None) -> PokeReturnValue:
        """Wait until no earlier day that matters is being trained."""
        waiting_for = order.blocking(ti, order.TRAIN, day, frozenset({"running"}))
        _log.info("waiting for %s", waiting_for or "nothing: it is this day's turn")
        return PokeReturnValue(is_done=not waiting_for)

    @task.sensor(**_WAIT)
    def reference(day: str, ti: Any = None) -> PokeReturnValue:
        """Wait until earlier days are published or refused, then choose the reference release."""
        waiting_for = order.blocking(ti, order.PUBLISH, day, frozenset({"queued", "running"}))
        if waiting_for:
            _log.info("waiting for %s", waiting_for)
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=order.reference_for(day))

    @task(outlets=[RELEASES])
    def announce(day: str, release: str, outlet_events: Any = None) -> dict[str, str]:
        """Announce the release of this day to `recommender_publish`."""
        outlet_events[RELEASES].add_partitions(day)
        outlet_events[RELEASES].extra = {"release": release, "partition": day}
        return {"release": release, "partition": day}

    extract = _step("extract", "extract", "--partition", "{{ ti.xcom_pull('partition') }}")
    validate_interactions = _step(
        "validate_interactions",
        *("validate", "--release", _RELEASE, "--table", "interactions", *_REFERENCE),
    )
    # Ten thousand books beside millions of ratings: light enough to run beside the other check.
    validate_books = NightshelfOperator(
        task_id="validate_books",
        arguments=["validate", "--release", _RELEASE, "--table", "books", *_REFERENCE],
    )
    train = _step("train", "train", "--release", _RELEASE)
    evaluate = _step("evaluate", "evaluate", "--release", _RELEASE, *_REFERENCE)
    recommend = _step("recommend", "recommend", "--release", _RELEASE)
    validate_lists = _step(
        "validate_lists", "validate", "--release", _RELEASE, "--table", "lists", *_REFERENCE
    )
    report = NightshelfOperator(
        task_id="report",
        arguments=["report", "--release", _RELEASE],
        # A day that failed its checks, or whose model was stopped, needs its pages most; without a release there
        # is nothing to show.
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    )

    day = partition()
    chosen = reference(day)
    # `extract` stands between the two waits: by then the scheduler has made the runs that `turn` let through.
    its_turn = turn(day)
    if _DROP_WAIT:
        drop(day) >> its_turn
    day >> its_turn >> extract >> chosen >> [validate_interactions, validate_books] >> train
    train >> evaluate >> recommend >> validate_lists >> announce(day, _RELEASE)
    [extract, validate_lists] >> report
