"""Tune: find the model's settings on validation slices, and say how small a difference the data can show.

In: a release's rows, a number of trials, a file for the study. Out: a settings file with its provenance. Guarantees
that only rows before the last validation slice's end are looked at, so that later cuts stay untouched for reports;
and that a study broken off goes on where it stopped.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from jobs.evaluation import bootstrap, metrics, ranking, slices
from jobs.evaluation.bootstrap import Resampling
from jobs.evaluation.measured import DEPTH, TOP
from jobs.evaluation.rolling_origin import Ranker, Rows, rows_of
from jobs.evaluation.settings import EvaluationSettings
from jobs.model.settings import UNUSED, ModelSettings, as_mapping
from jobs.model.settings import of_release as settings_of
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import WrongUsage
from jobs.runtime.files import sha256, write_text
from jobs.runtime.progress import progress
from schemas.sources import ALS, EASE

#: What the share of rows before a validation slice is; the last slice ends before 70 % of the rows.
VALIDATION_SHARES = (0.45, 0.5, 0.55, 0.6, 0.65)
#: Size of a paired difference that is found with 80 % probability at 95 % confidence, in standard errors.
_DETECTABLE_ERRORS = 2.8
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
class TuneResult:
    """What the search found; differences are of NDCG@10 over all validation slices, paired."""

    release: str
    trials: int
    ndcg_at_10: float
    before_ndcg_at_10: float
    difference: bootstrap.Interval
    smallest_detectable_difference: float
    settings: str
    study: str


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
        Prepared(cut, ranking.history(cut.history, rows.catalogue))
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


def run(
    folder: ReleaseFolder,
    settings: EvaluationSettings,
    *,
    trials: int,
    storage: Path,
    target: Path,
) -> TuneResult:
    """Search better model settings than those of a release and write them to `target`.

    Raises what `backtest.rows_of` raises.
    """
    before = settings_of(folder)
    if before.engine not in SPACES:
        raise WrongUsage(
            f"the settings of the engine {before.engine!r} are not tuned by this command",
            str(folder.inputs),
            f"tune a release of {' or '.join(SPACES)}; the two stages take their settings of ALS from there",
        )
    prepared = prepare(rows_of(folder), before.positive_from, settings.slice_share)
    study = search(
        prepared,
        SPACES[before.engine],
        lambda values: _ranker(_with(before, values)),
        trials=trials,
        storage=storage,
        name=before.engine,
        seed=settings.seed,
    )
    best = _with(before, {key: _short(value) for key, value in study.best_params.items()})
    users = np.concatenate([one.cut.case_ids for one in prepared])
    ours, theirs = (
        np.concatenate([ndcg_of(one, _ranker(model)) for one in prepared])
        for model in (best, before)
    )
    how = Resampling(settings.samples, settings.confidence, settings.seed)
    means = bootstrap.resampled_means(users, (ours - theirs)[:, None], how)
    provenance = {
        "release": folder.release,
        "interactions_sha256": sha256(folder.interactions),
        "validation_shares": VALIDATION_SHARES,
        "slice_share": settings.slice_share,
        "users": len(users),
        "trials": trials,
        "ndcg_at_10": round(float(ours.mean()), 5),
        "before_ndcg_at_10": round(float(theirs.mean()), 5),
    }
    write_text(target, as_toml(best, provenance))
    return TuneResult(
        release=folder.release,
        trials=len(study.trials),
        ndcg_at_10=float(ours.mean()),
        before_ndcg_at_10=float(theirs.mean()),
        difference=bootstrap.difference(users, ours, theirs, how).absolute,
        smallest_detectable_difference=float(_DETECTABLE_ERRORS * means.std()),
        settings=str(target),
        study=str(storage),
    )


def as_toml(settings: ModelSettings, provenance: dict[str, Any]) -> str:
    """Return a settings file that says where its values come from."""
    lines = ["# Found by `nightshelf tune`; where these values come from:"]
    lines += [f"#   {name}: {json.dumps(value)}" for name, value in provenance.items()]
    lines += ["", "[model]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in as_mapping(settings).items()]
    return "\n".join(lines) + "\n"


def _with(settings: ModelSettings, values: dict[str, float]) -> ModelSettings:
    return replace(settings, **values)  # type: ignore[arg-type]  # SPACE names numbers only


def _ranker(settings: ModelSettings) -> Ranker:
    return lambda past: ranking.by_model(past, settings, DEPTH)


def _short(value: float) -> float:
    """Round to three significant digits: more would only pretend to know."""
    return float(f"{value:.3g}")
