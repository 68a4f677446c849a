"""Commands that judge: evaluate."""

import click

from jobs.command.line import emit
from jobs.release.folder import Artifacts
from jobs.runtime import settings as runtime_settings


@click.command()
@click.option("--release", required=True, help="the release that extract began")
@click.option("--reference", required=True, help="the release it is compared with, or `none`")
def evaluate(release: str, reference: str) -> None:
    """Measure a release's model on what came later and give a verdict."""
    from jobs import evaluate as step
    from jobs.judgement import settings as judgement_settings

    settings = runtime_settings.from_environment()
    artifacts = Artifacts(settings.artifacts)
    outcome = step.run(
        artifacts.release(release),
        artifacts,
        judgement_settings.load(),
        reference=None if reference == "none" else reference,
        run_by=settings.run_by,
    )
    emit(outcome)
