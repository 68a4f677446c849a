"""Commands of the model: train, recommend."""

import click

from jobs.command.line import emit
from jobs.release.folder import Artifacts
from jobs.runtime import settings as runtime_settings


@click.command()
@click.option("--release", required=True, help="the release that extract began")
def train(release: str) -> None:
    """Fit the model of a release."""
    from jobs import train as step

    settings = runtime_settings.from_environment()
    emit(step.run(Artifacts(settings.artifacts).release(release), settings.run_by))


@click.command()
@click.option("--release", required=True, help="the release that train fitted")
def recommend(release: str) -> None:
    """Write the lists of a release."""
    from jobs import recommend as step

    settings = runtime_settings.from_environment()
    emit(step.run(Artifacts(settings.artifacts).release(release), settings.run_by))
