"""Search of settings on validation slices: what is looked for, where, and how a ranking is measured there.

In: a release's rows, a space of settings, a ranking for each point of it. Out: a study. Only rows before the last
validation slice's end are looked at, so that later cuts stay untouched for reports; a study broken off goes on where
it stopped.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from jobs.evaluation import metrics, ranking, slices
from jobs.evaluation.measured import TOP
from jobs.evaluation.rolling_origin import Ranker, Rows
from jobs.model.settings import UNUSED
from jobs.runtime.progress import progress
from schemas.sources import ALS, EASE

#: What the share of rows before a validation slice is; the last slice ends before 70 % of the rows.
VALIDATION_SHARES = (0.45, 0.5, 0.55, 0.6, 0.65)
#: Share of the trials that are drawn at random, before the sampler learns and poor trials end early.
_RANDOM_SHARE = 0.25


@dataclass(frozen=True)
class Range:
    """Where a setting is looked for; `log` for scales. All are relative or in implicit's scale."""

    low: float
    high: float
    log: bool = False


#: The settings of ALS that are tuned. Factors are a matter of cost as well and stay as they are.
SPACE = {
    "alpha": Range(2, 200, log=True),
    "regularization": Range(2, 2000, log=True),
    "neutral_weight": Range(0, 1),
    "low_weight": Range(0, 1),
    "confidence_half_life_share": Range(0.02, 1, log=True),
    "profile_alpha": Range(2, 200, log=True),
    "profile_regularization": Range(2, 200, log=True),
    "profile_half_life_books": Range(1, 100, log=True),
    "popularity_half_life_share": Range(0.005, 0.2, log=True),
    "popularity_exponent": Range(0, 0.6),
    "popularity_floor": Range(1e-4, 1, log=True),
}
#: What is tuned of each engine: of EASE what is left when it has one scale for all weights.
SPACES = {
    ALS: SPACE,
    EASE: {
        **{name: values for name, values in SPACE.items() if name not in UNUSED[EASE]},
        "regularization": Range(1, 2000, log=True),
    },
}


@dataclass(frozen=True)
class Prepared:
    """A validation slice and its history, made once."""

    cut: slices.Slice
    past: ranking.History


def prepare(
    rows: Rows,
    positive_from: int,
    width: float,
    shares: tuple[float, ...] = VALIDATION_SHARES,
) -> list[Prepared]:
    """Return the validation slices of `width` of all rows each; slices with nothing to find are left out."""
    cuts = slices.at_shares(rows.interactions, rows.catalogue, shares, width, positive_from)
    return [
        # Only users with something to find: no other list is measured.
        Prepared(cut, replace(ranking.history(cut.history, rows.catalogue), only=cut.case_ids))
        for cut in cuts
        if len(cut.case_ids)
    ]


def ndcg_of(prepared: Prepared, ranker: Ranker) -> metrics.Values:
    """Return NDCG@10 of each case of one slice."""
    cut = prepared.cut
    hit = metrics.hits(cut.case_ids, ranker(prepared.past).of(cut.case_ids), cut.relevant)
    return metrics.ndcg(hit, metrics.relevant_counts(cut.case_ids, cut.relevant), TOP)


def search(
    prepared: list[Prepared],
    space: dict[str, Range],
    ranker: Callable[[dict[str, float]], Ranker],
    *,
    trials: int,
    storage: Path,
    name: str,
    seed: int,
) -> optuna.Study:
    """Run `trials` trials in all, those already in `storage` included, and return the study.

    The same sampler, pruner, slices and number of trials for every kind of ranking. A trial's value is NDCG@10 over
    all cases; a trial that is below the median of the others at the same slice ends early.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage.parent.mkdir(parents=True, exist_ok=True)
    at_random = max(1, round(trials * _RANDOM_SHARE))
    with warnings.catch_warnings():
        # Sampling settings together is "experimental" in Optuna: its interface may change with its version.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=at_random, multivariate=True
        )
    study = optuna.create_study(
        study_name=name,
        storage=JournalStorage(JournalFileBackend(str(storage))),
        load_if_exists=True,
        direction="maximize",
        sampler=sampler,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=at_random, n_warmup_steps=1),
    )
    done = sum(trial.state.is_finished() for trial in study.trials)

    def objective(trial: optuna.Trial) -> float:
        values = {
            key: trial.suggest_float(key, one.low, one.high, log=one.log)
            for key, one in space.items()
        }
        found: list[metrics.Values] = []
        for step, one in enumerate(prepared):
            found.append(ndcg_of(one, ranker(values)))
            trial.report(float(np.concatenate(found).mean()), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(np.concatenate(found).mean())

    with progress(trials, f"tune {name}", "trial") as bar:
        bar.update(min(done, trials))
        study.optimize(
            objective,
            n_trials=max(0, trials - done),
            callbacks=[lambda _study, _trial: bar.update(1)],
        )
    return study
