"""Commands about the quality of data: validate, report."""

import click

from jobs.cli.main import emit
from jobs.runtime import settings as runtime_settings
from jobs.runtime.artifacts import Artifacts
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

    settings = runtime_settings.from_environment()
    artifacts = Artifacts(settings.artifacts)
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

    settings = runtime_settings.from_environment()
    emit(step.run_all(Artifacts(settings.artifacts).release(release)))
