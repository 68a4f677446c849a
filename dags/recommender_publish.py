"""Publish a trained release: get an approval if it is on hold, load it, activate it, retire old releases.

**Started by** `recommender_train` for each trained partition, one run at a time. The events of a backfill may arrive in
any order. A release whose partition is older than the live one is neither loaded nor activated: the tasks `publish` and
`activate` show as skipped, with the reason. To load such a release anyway, trigger this DAG by hand with the release
id and *Publish an older release*. It does not become live.

**A release on hold waits for a person** in `approve` (Browse, Required Actions). The request shows the metrics. Approve
it with a reason, or reject it. Without an answer within 12 hours (`NIGHTSHELF_APPROVAL_TIMEOUT_S`) it is rejected. The
name and the reason go into the journal. The first release of an empty store goes live without an approval.

**Order**: partition, standing, approve (on hold only), publish (loads the release and reads it back), activate, retire.
"""

from typing import Any

from airflow.sdk import DAG, Param, PartitionedAssetTimetable, TriggerRule, task

from nightshelf_airflow import approval
from nightshelf_airflow.command import NightshelfOperator, Problem, refuse
from nightshelf_airflow.deadline import deadline
from nightshelf_airflow.settings import (
    APPROVAL_TIMEOUT,
    DEFAULT_ARGS,
    POOL,
    PUBLISH_DEADLINE,
    RELEASES,
    WAIT_RETRIES,
    artifacts,
)

_RELEASE = "{{ ti.xcom_pull('partition', key='release') }}"

with DAG(
    dag_id="recommender_publish",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=RELEASES),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS,
    deadline=deadline("a day's release is late", PUBLISH_DEADLINE),
    tags=["nightshelf", "publish"],
    params={
        "release": Param(
            None,
            type=["null", "string"],
            pattern=r"^\d{4}-\d{2}-\d{2}-[0-9a-f]{8}$",
            title="Release",
            description="The release to publish, e.g. 2026-11-23-0a1b2c3d. Empty in runs that an event starts.",
        ),
        "publish_older": Param(
            False,  # noqa: FBT003  # Param's first argument is the default
            type="boolean",
            title="Publish an older release",
            description="Load the release even if a newer partition is live. It is not made live.",
        ),
    },
) as dag:

    @task
    def partition(
        triggering_asset_events: Any = None, params: dict[str, Any] | None = None, ti: Any = None
    ) -> str:
        """Give the partition; push the release id that the event or the form names."""
        events = [event for found in triggering_asset_events.values() for event in found]
        release = events[-1].extra["release"] if events else (params or {}).get("release")
        if not release:
            refuse(
                Problem(
                    "this run names no release",
                    "the form's field Release",
                    "trigger again with a release id (`nightshelf releases` lists them)",
                )
            )
        ti.xcom_push("release", release)
        return str(release)[:10]

    @task
    def standing(release: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare the release with the live one; say whether it needs an approval."""
        return approval.standing(
            release, artifacts(), older=bool((params or {}).get("publish_older"))
        )

    approve = approval.AskIfHeld(
        task_id="approve",
        subject=f"Release {_RELEASE} is on hold: make it live?",
        body="{{ ti.xcom_pull('standing')['request'] }}",
        skip_reason="{{ ti.xcom_pull('standing')['why_not_ask'] }}",
        params={"reason": approval.REASON},
        response_timeout=APPROVAL_TIMEOUT,
        # An answer within the same second can be taken for a broken attempt; the next one finds it.
        retries=WAIT_RETRIES,
        # A rejection ends the run here: nothing is loaded.
        ignore_downstream_trigger_rules=True,
    )
    publish = NightshelfOperator(
        task_id="publish",
        arguments=["publish", "--release", _RELEASE],
        skip_reason="{{ ti.xcom_pull('standing')['why_not_publish'] }}",
        pool=POOL,
        trigger_rule=TriggerRule.NONE_FAILED,
    )
    activate = NightshelfOperator(
        task_id="activate",
        arguments=["activate", "--release", _RELEASE],
        options={
            "--approved-by": "{{ (ti.xcom_pull('approve') or {}).get('by', '') }}",
            "--reason": "{{ (ti.xcom_pull('approve') or {}).get('reason', '') }}",
        },
        skip_reason="{{ ti.xcom_pull('standing')['why_not_activate'] }}",
        trigger_rule=TriggerRule.NONE_FAILED,
    )
    retire = NightshelfOperator(task_id="retire", arguments=["retire"])

    partition() >> standing(_RELEASE) >> approve >> publish >> activate >> retire
