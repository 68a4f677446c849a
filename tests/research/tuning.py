"""Tune the model and every baseline alike: the same slices, the same sampler, the same number of trials.

In: a Goodbooks folder (GOODBOOKS_DIR), a number of trials. Out: every trial on standard output and in
`baselines/trials.txt`, from which the goals table takes what was best. Guarantees that no row after 66 % of the rows is
seen, and that a search broken off goes on where it stopped. Run it as `python -m tests.research.tuning --trials 40`.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import optuna

from jobs.evaluation import ranking, rolling_origin, search
from jobs.evaluation import settings as evaluation_settings
from jobs.evaluation.measured import DEPTH
from jobs.evaluation.ranked import Ranked
from jobs.evaluation.ranking import History
from jobs.ingest import replay
from jobs.model import settings as model_settings
from jobs.pipeline import extract
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.files import write_text
from schemas import sources
from tests.research.baselines.all_of_them import BASELINES, Baseline

TRIALS = Path(__file__).parent / "baselines" / "trials.txt"
JUDGEMENT = evaluation_settings.load()
SETTINGS = model_settings.load(None)
EASE = model_settings.load(None, sources.EASE)
#: The model with settings found by as many trials as a baseline has; those it ships with were found by 100.
SAME_TRIALS = "als_of_same_trials"
_FIRST_DAY = date(2026, 1, 1)


def _model(past: History, values: dict[str, float]) -> Ranked:
    return ranking.by_model(past, replace(SETTINGS, **values), DEPTH)  # type: ignore[arg-type]


TUNED = {**BASELINES, SAME_TRIALS: Baseline(_model, search.SPACE)}


@contextmanager
def prepared(source: Path, days: int = 100) -> Iterator[ReleaseFolder]:
    """Give a release with the rows of a Goodbooks folder, in a temporary folder."""
    with tempfile.TemporaryDirectory() as temporary:
        artifacts = Artifacts(Path(temporary))
        last = _FIRST_DAY + timedelta(days=days - 1)
        replay.run(source, artifacts.drops, _FIRST_DAY, last)
        extracted = extract.run(
            artifacts.drops,
            artifacts.releases,
            last.isoformat(),
            SETTINGS,
            max_reject_share=0.05,
            run_by="benchmark",
        )
        yield artifacts.release(extracted.release)


def source() -> Path:
    """Return the Goodbooks folder of GOODBOOKS_DIR; end the program when there is none."""
    folder = os.environ.get("GOODBOOKS_DIR")
    if not folder:
        sys.exit("set GOODBOOKS_DIR to a Goodbooks folder whose rows are in order of time")
    return Path(folder)


def ranker(name: str, values: dict[str, float]) -> rolling_origin.Ranker:
    """Return a ranking of `TUNED` with its settings."""
    return lambda past: TUNED[name].lists(past, values)


def lines() -> dict[str, list[str]]:
    """Return the kept trials, a text line each, by ranking."""
    kept: dict[str, list[str]] = {}
    for line in TRIALS.read_text("utf-8").splitlines() if TRIALS.is_file() else []:
        kept.setdefault(line.split(maxsplit=1)[0], []).append(line)
    return kept


def chosen() -> tuple[dict[str, dict[str, float]], int]:
    """Return the settings of each ranking's best trial, to three digits, and among how many trials each was best.

    As many of each ranking's first trials count as the ranking with the fewest has.
    """
    found: dict[str, dict[str, float]] = {name: {} for name, one in TUNED.items() if not one.space}
    kept = lines()
    each = min((len(trials) for trials in kept.values()), default=0)
    for name, trials in kept.items():
        complete = [line.split(maxsplit=4) for line in trials[:each] if " COMPLETE " in line]
        best = max(complete, key=lambda parts: float(parts[3]))
        found[name] = {key: float(f"{value:.3g}") for key, value in json.loads(best[4]).items()}
    return found, each


def searched(slices: list[search.Prepared], name: str, trials: int, storage: Path) -> None:
    """Search one ranking's settings, print every trial and keep them all in `trials.txt`."""
    study = search.search(
        slices,
        TUNED[name].space,
        lambda values: ranker(name, values),
        trials=trials,
        storage=storage / f"{name}.journal",
        name=name,
        seed=JUDGEMENT.seed,
    )
    told = [_line(name, trial) for trial in study.trials if trial.state.is_finished()]
    print(*told, sep="\n", flush=True)
    kept = {**lines(), name: told}
    write_text(TRIALS, "\n".join(line for one in TUNED for line in kept.get(one, [])) + "\n")


def _line(name: str, trial: optuna.trial.FrozenTrial) -> str:
    value = "-" if trial.value is None else f"{trial.value:.5f}"
    values = {key: float(f"{found:.4g}") for key, found in trial.params.items()}
    return f"{name} {trial.number} {trial.state.name} {value} {json.dumps(values)}"


def main() -> None:
    """Read the arguments and tune."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=40, help="in all, for each ranking")
    parser.add_argument("--only", nargs="*", default=list(TUNED), choices=list(TUNED))
    parser.add_argument("--studies", type=Path, default=Path("artifacts/tuning"))
    arguments = parser.parse_args()
    with prepared(source()) as folder:
        slices = search.prepare(
            rolling_origin.rows_of(folder), SETTINGS.positive_from, JUDGEMENT.slice_share
        )
        for name in arguments.only:
            if TUNED[name].space:
                searched(slices, name, arguments.trials, arguments.studies)


if __name__ == "__main__":
    main()
