"""Commands that validate: evaluate, model-report, backtest, tune."""

import sys
from pathlib import Path

import click

from jobs.cli.main import emit, here


@click.command()
@click.option("--release", required=True, help="the release that extract began")
@click.option("--reference", required=True, help="the release it is compared with, or `none`")
def evaluate(release: str, reference: str) -> None:
    """Evaluate a release's model on later rows and give a verdict."""
    from jobs.evaluation import settings as evaluation_settings
    from jobs.pipeline import evaluate as step

    settings, artifacts = here()
    outcome = step.run(
        artifacts.release(release),
        artifacts,
        evaluation_settings.load(),
        reference=None if reference == "none" else reference,
        run_by=settings.run_by,
    )
    emit(outcome)


@click.command("model-report")
@click.option("--release", required=True, help="the release whose page is written")
def model_report(release: str) -> None:
    """Write the page of a release's model: metrics, changes, sample lists."""
    from jobs.reports import model_report as step

    _, artifacts = here()
    emit(step.run(artifacts.release(release)))


@click.command()
@click.option("--release", required=True, help="the release whose rows and settings are used")
@click.option(
    "--at",
    "shares",
    multiple=True,
    type=click.FloatRange(0.01, 0.99),
    default=(0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
    show_default=True,
    help="a cut, as a share of the rows; repeat it",
)
def backtest(release: str, shares: tuple[float, ...]) -> None:
    """Predict the next slice at past days, beside popularity lists, and print the table."""
    from jobs.evaluation import backtest as step
    from jobs.evaluation import settings as evaluation_settings

    _, artifacts = here()
    folder = artifacts.release(release)
    outcome, table = step.run(folder, evaluation_settings.load(), tuple(sorted(set(shares))))
    print(table, file=sys.stderr)
    emit(outcome)


@click.command()
@click.option("--release", required=True, help="the release whose rows and settings it starts from")
@click.option(
    "--trials",
    default=60,
    show_default=True,
    type=click.IntRange(1),
    help="number of trials in all, resumed ones included",
)
@click.option("--study", type=click.Path(path_type=Path), help="file to resume from")
@click.option("--out", type=click.Path(path_type=Path), help="the settings file to write")
def tune(release: str, trials: int, study: Path | None, out: Path | None) -> None:
    """Search model settings on slices before 70 % of the rows; an interrupted search resumes."""
    from jobs.evaluation import settings as evaluation_settings
    from jobs.evaluation import tune as step

    _, artifacts = here()
    folder = artifacts.release(release)
    tuning = artifacts.root / "tuning"
    outcome = step.run(
        folder,
        evaluation_settings.load(),
        trials=trials,
        storage=study or tuning / f"{release}.journal",
        target=out or tuning / f"{release}.toml",
    )
    print(
        f"the smallest difference in NDCG@10 that these slices can show is about "
        f"{outcome.smallest_detectable_difference:.4f} "
        f"({outcome.smallest_detectable_difference / max(outcome.before_ndcg_at_10, 1e-9):.0%})",
        file=sys.stderr,
    )
    if outcome.kept:
        told = "no trial was better: the settings written are those of the release"
        print(f"{told}, NDCG@10 {outcome.before_ndcg_at_10:.4f}", file=sys.stderr)
    emit(outcome)
