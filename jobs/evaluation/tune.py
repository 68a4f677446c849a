"""Tune: find the model's settings on validation slices, and say how small a difference the data can show.

In: a release's rows, a number of trials, a file for the study. Out: a settings file with its provenance. Settings that
are worse than those of the release are not written.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jobs.evaluation import bootstrap, ranking
from jobs.evaluation.bootstrap import Resampling
from jobs.evaluation.measured import DEPTH
from jobs.evaluation.rolling_origin import Ranker, rows_of
from jobs.evaluation.search import SPACES, VALIDATION_SHARES, ndcg_of, prepare, search
from jobs.evaluation.settings import EvaluationSettings
from jobs.model.settings import ModelSettings, as_mapping
from jobs.model.settings import of_release as settings_of
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import WrongUsage
from jobs.runtime.files import sha256, write_text

#: Size of a paired difference that is found with 80 % probability at 95 % confidence, in standard errors.
_DETECTABLE_ERRORS = 2.8


@dataclass(frozen=True)
class TuneResult:
    """What the search found; differences are of NDCG@10 over all validation slices, paired, of the best trial.

    `kept` tells that no trial was better: the settings that were written are those of the release.
    """

    release: str
    trials: int
    ndcg_at_10: float
    before_ndcg_at_10: float
    difference: bootstrap.Interval
    smallest_detectable_difference: float
    settings: str
    study: str
    kept: bool


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
    difference = bootstrap.difference(users, ours, theirs, how).absolute
    kept = difference.value <= 0
    if kept:
        best, ours = before, theirs
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
        difference=difference,
        smallest_detectable_difference=float(_DETECTABLE_ERRORS * means.std()),
        settings=str(target),
        study=str(storage),
        kept=kept,
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
