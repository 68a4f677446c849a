"""Stage 2: trees that rank candidates, learned from what users liked next.

In: examples (candidates of past moments with their features, and which of them their users liked in the slice after).
Out: a `Ranker`: trees as text, with the names of their features in order. The same examples give the same text,
whatever the number of threads (tests/jobs/model/two_stage/test_two_stages.py).

LambdaMART (Burges, "From RankNet to LambdaRank to LambdaMART", MSR-TR-2010-82) in the implementation of LightGBM.
"""

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.model.settings import ModelSettings, stage_of

#: What is no setting of ours.
_PARAMETERS = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 20,
    "lambda_l2": 5.0,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    # Equal bytes for any number of threads: sums of histograms in one order.
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
#: Below so many candidates threads wait for one another longer than they work, most of all on a busy machine.
_FEW = 100_000


@dataclass(frozen=True)
class Examples:
    """Candidates of users who liked at least one: features (m, f), whether it was liked (m,), users' sizes (u,)."""

    features: NDArray[np.float32]
    liked: NDArray[np.bool_]
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class Ranker:
    """Trees and the names of their features (f,), in order."""

    trees: str
    names: tuple[str, ...]

    @cached_property
    def booster(self) -> Any:
        """Return the trees, ready to score."""
        return _lightgbm().Booster(model_str=self.trees)

    def scores(
        self, features: NDArray[np.float32], threads: int | None = None
    ) -> NDArray[np.float32]:
        """Return the score of each candidate (m,) from its features (m, f), in the order of `names`."""
        if not len(features):
            return np.empty(0, dtype=np.float32)
        found = self.booster.predict(
            features, num_threads=1 if len(features) < _FEW else threads or 0
        )
        return np.asarray(found, dtype=np.float32)

    def contributions(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what each feature adds to each score, (m, f + 1); the last column is what all scores start from.

        TreeSHAP: Lundberg et al., "From local explanations to global understanding with explainable AI for trees",
        Nature Machine Intelligence 2020.
        """
        return np.asarray(self.booster.predict(features, pred_contrib=True))


def learn(
    examples: list[Examples],
    names: tuple[str, ...],
    settings: ModelSettings,
    threads: int | None = None,
) -> Ranker:
    """Return a ranker learned from examples of several moments."""
    lightgbm = _lightgbm()
    data = lightgbm.Dataset(
        np.concatenate([one.features for one in examples]),
        np.concatenate([one.liked for one in examples]).astype(np.int8),
        group=np.concatenate([one.sizes for one in examples]),
        feature_name=list(names),
        free_raw_data=True,
    )
    stage, data_rows = stage_of(settings), sum(len(one.liked) for one in examples)
    parameters = _PARAMETERS | {
        "learning_rate": stage.ranker_learning_rate,
        "num_leaves": stage.ranker_leaves,
        "min_data_in_leaf": stage.ranker_leaf_rows,
        "seed": settings.seed,
        "num_threads": 1 if data_rows < _FEW else threads or 0,
    }
    trained = lightgbm.train(parameters, data, num_boost_round=stage.ranker_trees)
    return Ranker(_without_threads(trained.model_to_string()), names)


def _lightgbm() -> Any:
    """Return the package, imported when it is first needed: 0.6 s that commands of other engines do without."""
    return importlib.import_module("lightgbm")


def _without_threads(text: str) -> str:
    """Return the trees without the line that says how many threads grew them."""
    kept = (line for line in text.splitlines(keepends=True) if not line.startswith("[num_threads"))
    return "".join(kept)
