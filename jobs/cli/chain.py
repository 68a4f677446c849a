"""The command that runs the complete chain for one day."""

from datetime import datetime

import click

from jobs.cli import day
from jobs.cli.main import emit
from jobs.runtime import settings as runtime_settings


@click.command()
@click.option(
    "--partition",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    required=True,
    help="the day this run stands for",
)
@click.option("--approved-by", help="who lets a release on hold go live")
@click.option("--reason", help="why it may go live")
@click.option("--unchanged-ok", is_flag=True, help="continue when no drop arrived on this day")
@day.future_ok
def run(
    partition: datetime,
    approved_by: str | None,
    reason: str | None,
    *,
    unchanged_ok: bool,
    future_ok: bool,
) -> None:
    """Run the complete chain for one day, from drops to the live release."""
    from jobs.pipeline import run as chain
    from jobs.store.activation import Approval

    day.require_begun(str(partition.date()), future_ok=future_ok)
    approval = Approval.of(approved_by, reason)
    outcome = chain.run(
        runtime_settings.from_environment(),
        str(partition.date()),
        approval=approval,
        unchanged_ok=unchanged_ok,
        today=day.latest(),
    )
    emit(outcome)
