"""Commands about the quality of data: validate, report."""

import click

from jobs.cli.main import emit, here
from jobs.runtime import settings as runtime_settings
from jobs.validation import result


@click.command()
@click.option("--release", required=True, help="the release that extract began")
@click.option(
    "--table", type=click.Choice(result.TABLES), required=True, help="the table to validate"
)
@click.option(
    "--reference",
    default="none",
    show_default=True,
    help="the release it is compared with, or `none`",
)
def validate(release: str, table: result.Table, reference: str) -> None:
    """Validate a table of a release with Great Expectations; bad data stops the run."""
    from jobs.pipeline import validate as step
    from jobs.reports import data_report
    from jobs.validation.bounds import Bounds

    settings, artifacts = here()
    folder = artifacts.release(release)
    with data_report.written(folder):
        outcome = step.run(
            folder,
            table,
            None if reference == "none" else artifacts.release(reference),
            bounds=runtime_settings.read_settings(Bounds),
            max_reject_share=settings.max_reject_share,
            run_by=settings.run_by,
        )
    emit(outcome)


@click.command()
@click.option("--release", required=True, help="the release whose pages are written")
def report(release: str) -> None:
    """Write the pages of a release, data quality and model, and the index of all releases."""
    from jobs.reports import data_report as step

    _, artifacts = here()
    emit(step.run_all(artifacts.release(release)))
