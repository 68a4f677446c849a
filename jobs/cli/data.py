"""Commands that bring data in: fetch, replay, synthesize, drop, extract."""

from datetime import date, datetime
from pathlib import Path

import click

from jobs.cli import day
from jobs.cli.main import emit, here
from jobs.ingest.settings import RowSettings
from jobs.model import settings as model_settings
from jobs.runtime import settings as runtime_settings
from jobs.runtime.errors import BrokenInput

_DAY = click.DateTime(["%Y-%m-%d"])
_ENCODING = click.option("--encoding", help="of files that are not UTF-8, such as windows-1252")


def _partition(_context: click.Context, _parameter: click.Parameter, value: datetime) -> str:
    return str(value.date())


def _date(_context: click.Context, _parameter: click.Parameter, value: datetime) -> date:
    return value.date()


@click.command()
@click.option(
    "--from", "source", help="a URL of a zip, or a folder; upstream's release if not given"
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="the new folder")
@_ENCODING
def fetch(source: str | None, out: Path, encoding: str | None) -> None:
    """Fetch a Goodbooks release, resuming an interrupted download."""
    from jobs.ingest import fetch as step

    emit(step.run(source or step.UPSTREAM, out, encoding))


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="the new folder")
@click.option("--users", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--books", type=click.IntRange(min=1), default=500, show_default=True)
@click.option("--ratings", type=click.IntRange(min=1), default=50_000, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
def synthesize(out: Path, users: int, books: int, ratings: int, seed: int) -> None:
    """Make a synthetic Goodbooks folder with structure to learn."""
    from jobs.ingest import synthesize as step

    emit(step.run(out, users=users, books=books, ratings=ratings, seed=seed))


@click.command()
@click.option("--source", type=click.Path(path_type=Path), required=True, help="a Goodbooks folder")
@click.option(
    "--from",
    "first",
    type=_DAY,
    metavar="YYYY-MM-DD",
    callback=_date,
    required=True,
    help="the first day",
)
@click.option(
    "--to",
    "last",
    type=_DAY,
    metavar="YYYY-MM-DD",
    callback=_date,
    required=True,
    help="the last day",
)
@click.option(
    "--first-day-share",
    default=0.0,
    show_default=True,
    help="share of all rows that the first day gets; 0 means equal days",
)
@click.option("--replace", is_flag=True, help="replace drops that are already there")
@_ENCODING
def replay(
    source: Path,
    first: date,
    last: date,
    first_day_share: float,
    encoding: str | None,
    *,
    replace: bool,
) -> None:
    """Turn a Goodbooks folder into dated drops: row order becomes arrival time."""
    from jobs.ingest import replay as step

    _, artifacts = here()
    outcome = step.run(
        source,
        artifacts.drops,
        first,
        last,
        first_day_share,
        replace=replace,
        encoding=encoding,
        rows=runtime_settings.read_settings(RowSettings),
    )
    emit(outcome)


@click.command()
@click.option(
    "--partition",
    type=_DAY,
    metavar="YYYY-MM-DD",
    callback=_partition,
    required=True,
    help="the day of the drop",
)
def drop(partition: str) -> None:
    """Check whether a day's drop is complete; exit code 99 if it is not yet."""
    from jobs.operations import drop as step

    settings, artifacts = here()
    emit(step.run(artifacts.drops, partition, settings.drop_marker))


@click.command()
@click.option(
    "--partition",
    type=_DAY,
    metavar="YYYY-MM-DD",
    callback=_partition,
    required=True,
    help="the day this run stands for",
)
@click.option("--unchanged-ok", is_flag=True, help="continue when no drop arrived on this day")
@day.future_ok
def extract(partition: str, *, unchanged_ok: bool, future_ok: bool) -> None:
    """Begin a release: accepted ratings, book cards and rejects of all drops up to a day."""
    from jobs.pipeline import extract as step

    day.require_begun(partition, future_ok=future_ok)
    settings, artifacts = here()
    model = model_settings.load(settings.model_settings, settings.engine, settings.rules)
    rows = runtime_settings.read_settings(RowSettings)
    try:
        outcome = step.run(
            artifacts.drops,
            artifacts.releases,
            partition,
            model,
            max_reject_share=settings.max_reject_share,
            run_by=settings.run_by,
            unchanged_ok=unchanged_ok,
            marker=settings.drop_marker,
            rows=rows,
        )
    except BrokenInput as problem:
        from jobs.reports import stop_report  # a second of imports that good days need not pay

        stop_report.attach(artifacts.releases, artifacts.drops, partition, problem)
        raise
    emit(outcome)
