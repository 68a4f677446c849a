"""ALS as it is usually tuned: no time, no popularity, one confidence for every positive rating.

In: a history. Out: lists. Also the random list.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from jobs.evaluation.ranked import Ranked
from jobs.evaluation.ranking import History
from jobs.model import als, confidence
from jobs.model.settings import DEFAULTS, load
from tests.research.baselines import weighing

_DEFAULTS = load(DEFAULTS)


def plain_als(past: History, values: dict[str, float]) -> Ranked:
    """Return lists by plain ALS; `values` as in `all_of_them`."""
    settings = replace(
        _DEFAULTS,
        alpha=values["alpha"],
        regularization=values["regularization"],
        neutral_weight=0.0,
        low_weight=0.0,
        confidence_half_life_share=np.inf,
    )
    matrix = confidence.training(past.pairs, past.ratings, settings)
    fitted = als.fit(matrix, settings, show_progress=False)

    def scores(rows: slice) -> NDArray[np.float32]:
        return np.asarray(fitted.users[rows] @ fitted.books.T)

    return weighing.ranked(past, scores, 0.03)


def random(past: History, _values: dict[str, float]) -> Ranked:
    """Return lists in random order."""
    generator = np.random.default_rng(len(past.rows))

    def scores(rows: slice) -> NDArray[np.float32]:
        return generator.random((rows.stop - rows.start, len(past.books.values)), dtype=np.float32)

    return weighing.ranked(past, scores, np.inf)
