"""Waits for a day's drop, and says that a day is late whose drop does not come.

In: a run of `recommender_train` and its day; `nightshelf drop` says how the drop stands. Out: whether the run goes on.
Guarantees that a backfill does not wait, and that a wait which is over ends in the alert `ReleaseLate` and a failed
task, never in a skipped one.
"""

import json
import logging
import os
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback

from nightshelf_airflow import deadline
from nightshelf_airflow.command import (
    DEFAULT_COMMAND,
    NOTHING_TO_DO,
    NothingYet,
    Problem,
    answer,
    refuse,
)

_log = logging.getLogger(__name__)
_ASKED_WITHIN_S = 60


def here(day: str, run: Any, waited: timedelta, longest: timedelta) -> bool:
    """Say whether the run goes on: the drop is there, or the run is a backfill's.

    Raises AirflowFailException, after the alert was sent, when the wait is over.
    """
    if run.run_type == "backfill":
        _log.info("a backfill does not wait")
        return True
    try:
        found = answer(["drop", "--partition", day])
    except NothingYet as nothing:
        if waited < longest:
            _log.info("waiting, for %s of at most %s: %s", waited, longest, nothing.problem.what)
            return False
        _give_up(day, run, nothing.problem, longest)
    _log.info("the drop of %s is complete, since %s", day, found["landed_at"])
    return True


def _give_up(day: str, run: Any, problem: Problem, longest: timedelta) -> NoReturn:
    now = datetime.now(UTC)
    try:
        deadline.send(
            {"dag_id": run.dag_id, "dag_run_id": run.run_id, "partition_key": day},
            f"{run.dag_id} has waited for the drop of {day} in vain: {problem.what}",
            f"The wait ended at {now:%Y-%m-%d %H:%M} UTC, after {longest}. Land the drop and clear run {run.run_id}.",
        )
    except OSError as error:
        _log.error("Alertmanager did not take the alert: %s", error)  # the reason is enough
    refuse(
        Problem(
            f"the drop of {day} was waited for in vain, for {longest}: {problem.what}",
            problem.where,
            "find out what delays the source; when the drop has landed, clear this run (all tasks)",
        )
    )


def deadlines(name: str, interval: timedelta, longest: timedelta) -> list[DeadlineAlert]:
    """Return the alerts of a training that may wait for its drop first: the wait is no part of its time.

    The first counts from when the run was queued and is silent where the drop came later than that; the second counts
    from the end of the longest wait.
    """
    if not longest:
        return [deadline.deadline(name, interval)]
    first = DeadlineAlert(
        name=f"{name}, by its drop",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=interval,
        callback=SyncCallback(report_if_late, {"interval_s": interval.total_seconds()}),
    )
    return [first, deadline.deadline(name, interval + longest)]


def report_if_late(context: dict[str, Any], interval_s: float = 0, **_unused: Any) -> None:
    """Report the run as late unless its drop has been complete for less than `interval_s`, or is not yet."""
    landed_at = _landed_at(context["dag_run"]["partition_key"] or "")
    if landed_at is not None and datetime.now(UTC) < landed_at + timedelta(seconds=interval_s):
        _log.info("not late: its drop came at %s", landed_at)
        return
    deadline.report_late(context)


def _landed_at(day: str) -> datetime | None:
    """Return since when a drop is complete, now if it is not yet; None if that is not known."""
    program = os.environ.get("NIGHTSHELF_COMMAND") or str(DEFAULT_COMMAND)
    try:
        process = subprocess.run(
            [program, "drop", "--partition", day],
            capture_output=True,
            text=True,
            check=False,
            timeout=_ASKED_WITHIN_S,
        )
        if process.returncode == NOTHING_TO_DO:
            return datetime.now(UTC)
        return datetime.fromisoformat(json.loads(process.stdout.splitlines()[-1])["landed_at"])
    except (OSError, ValueError, LookupError, subprocess.TimeoutExpired):
        return None
