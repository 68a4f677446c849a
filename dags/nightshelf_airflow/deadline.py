"""Says that a day's release is late.

In: the context of a missed deadline. Out: a line in the callback's log and, if `NIGHTSHELF_ALERTMANAGER` names one
(`http://127.0.0.1:9093`), an alert `ReleaseLate` in Alertmanager. Guarantees that the alert names DAG, run and
partition, and has what the messages of monitoring/ show.
"""

import json
import logging
import os
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback

_log = logging.getLogger(__name__)
_TIMEOUT_S = 10
#: It is reported once; Alertmanager would take it for over after five minutes. The next day has an alert of its own.
_LASTS = timedelta(days=1)


def report_late(context: dict[str, Any], **_unused: Any) -> None:
    """Report the run of `context["dag_run"]` as late. Raises urllib.error.URLError if Alertmanager is away."""
    run = context["dag_run"]
    summary = (
        f"{run['dag_id']} has not finished {run['partition_key'] or run['dag_run_id']} in time"
    )
    due = context["deadline"]["deadline_time"]
    _log.error("%s: its deadline was %s", summary, due)
    send(
        run,
        summary,
        f"It was due at {due}. Run {run['dag_run_id']} in Airflow shows its state.",
    )


def send(run: dict[str, Any], summary: str, description: str) -> None:
    """Send the alert of a run, which has the keys dag_id, dag_run_id and partition_key, if there is an Alertmanager.

    Raises urllib.error.URLError if Alertmanager is away.
    """
    alertmanager = os.environ.get("NIGHTSHELF_ALERTMANAGER")
    now = datetime.now(UTC)
    if alertmanager is None:
        return
    alert = {
        "labels": {
            "alertname": "ReleaseLate",
            "severity": "warning",
            "dag": run["dag_id"],
            "partition": run["partition_key"] or "",
        },
        "annotations": {
            "summary": summary,
            "description": description,
            "runbook_url": "monitoring/runbook.md#releaselate",
            "dashboard_url": "/d/nightshelf-batch",
        },
        # Without a start it would begin at its end.
        "startsAt": now.isoformat(),
        "endsAt": (now + _LASTS).isoformat(),
    }
    request = urllib.request.Request(  # noqa: S310  # the operator's own address
        f"{alertmanager.rstrip('/')}/api/v2/alerts",
        data=json.dumps([alert]).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310  # the same address
        _log.info("sent to %s", alertmanager)


def deadline(name: str, interval: Any) -> DeadlineAlert:
    """Return an alert that fires when a run has not succeeded `interval` after it was queued."""
    return DeadlineAlert(
        name=name,
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=interval,
        # Run by the executor: no triggerer process is needed.
        callback=SyncCallback(report_late),
    )
