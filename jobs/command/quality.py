"""Commands about the quality of data: validate, report."""

import click

from jobs.command.line import emit
from jobs.quality import result
from jobs.release.folder import Artifacts
from jobs.runtime import settings as runtime_settings


@click.command()
@click.option("--release", required=True, help="the release that extract began")
@click.option("--table", type=click.Choice(result.TABLES), required=True, help="what is judged")
@click.option(
    "--reference",
    default="none",
    show_default=True,
    help="the release it is compared with, or `none`",
)
def validate(release: str, table: result.Table, reference: str) -> None:
    """Judge a table of a release with Great Expectations; bad data stops the run."""
    from jobs import validate as step
    from jobs.quality.bounds import Bounds

    settings = runtime_settings.from_environment()
    artifacts = Artifacts(settings.artifacts)
    outcome = step.run(
        artifacts.release(release),
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
    from jobs import report as step

    settings = runtime_settings.from_environment()
    emit(step.run_all(Artifacts(settings.artifacts).release(release)))
