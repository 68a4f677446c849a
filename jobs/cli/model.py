"""Commands of the model: train, recommend."""

import click

from jobs.cli.main import emit, here


@click.command()
@click.option("--release", required=True, help="the release that extract began")
def train(release: str) -> None:
    """Fit the model of a release."""
    from jobs.pipeline import train as step

    settings, artifacts = here()
    emit(step.run(artifacts.release(release), settings.run_by))


@click.command()
@click.option("--release", required=True, help="the release that train fitted")
def recommend(release: str) -> None:
    """Write the lists of a release."""
    from jobs.pipeline import recommend as step

    settings, artifacts = here()
    emit(step.run(artifacts.release(release), settings.run_by))
