"""Commands that bring data in: replay, extract."""

from datetime import date, datetime
from pathlib import Path

import click

from jobs.command.line import emit
from jobs.model import settings as model_settings
from jobs.release.folder import Artifacts
from jobs.runtime import settings as runtime_settings

_DAY = click.DateTime(["%Y-%m-%d"])


def _partition(_context: click.Context, _parameter: click.Parameter, value: datetime) -> str:
    return str(value.date())


def _date(_context: click.Context, _parameter: click.Parameter, value: datetime) -> date:
    return value.date()


@click.command()
@click.option("--source", type=click.Path(path_type=Path), required=True, help="a Goodbooks folder")
@click.option("--from", "first", type=_DAY, callback=_date, required=True, help="the first day")
@click.option("--to", "last", type=_DAY, callback=_date, required=True, help="the last day")
@click.option(
    "--first-day-share",
    default=0.0,
    show_default=True,
    help="share of all rows that the first day gets; 0 means equal days",
)
@click.option("--replace", is_flag=True, help="replace drops that are already there")
def replay(source: Path, first: date, last: date, first_day_share: float, *, replace: bool) -> None:
    """Turn a Goodbooks folder into dated drops: row order becomes arrival time."""
    from jobs import replay as step

    artifacts = Artifacts(runtime_settings.from_environment().artifacts)
    emit(step.run(source, artifacts.drops, first, last, first_day_share, replace=replace))


@click.command()
@click.option(
    "--partition", type=_DAY, callback=_partition, required=True, help="the day this run stands for"
)
@click.option("--unchanged-ok", is_flag=True, help="go on when no drop arrived on this day")
def extract(partition: str, *, unchanged_ok: bool) -> None:
    """Begin a release: accepted ratings, book cards and rejects of all drops up to a day."""
    from jobs import extract as step

    settings = runtime_settings.from_environment()
    artifacts = Artifacts(settings.artifacts)
    outcome = step.run(
        artifacts.drops,
        artifacts.releases,
        partition,
        model_settings.load(settings.model_settings),
        max_reject_share=settings.max_reject_share,
        run_by=settings.run_by,
        unchanged_ok=unchanged_ok,
    )
    emit(outcome)
