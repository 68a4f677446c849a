"""What the baselines share: the same time weights as the model's, the same blend, the same selection.

In: a history. Out: weighted matrices and lists. The weights are those of `jobs.model.confidence` with alpha 1.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.evaluation import ranking
from jobs.evaluation.measured import DEPTH
from jobs.evaluation.ranked import NO_BOOK, Ranked
from jobs.evaluation.ranking import History
from jobs.model import confidence, popularity, scoring
from jobs.model.settings import DEFAULTS, load

_BLOCK = 256
#: What the most popular book gets beside a reader's greatest score of 1.
_TIE = 1e-4
_DEFAULTS = load(DEFAULTS)


def weights(past: History, half_life_share: float, neutral: float, low: float) -> sp.csr_matrix:
    """Return (users, books) weights that halve with each half-life of age, 1 for a positive just arrived."""
    settings = replace(
        _DEFAULTS,
        alpha=1.0,
        neutral_weight=neutral,
        low_weight=low,
        confidence_half_life_share=half_life_share,
    )
    return confidence.training(past.pairs, past.ratings, settings)


def profiles(past: History, half_life_books: float, neutral: float, low: float) -> sp.csr_matrix:
    """Return (users, books) weights that halve with each later rating of the same reader."""
    settings = replace(
        _DEFAULTS,
        profile_alpha=1.0,
        neutral_weight=neutral,
        low_weight=low,
        profile_half_life_books=half_life_books,
    )
    return confidence.profiles(past.pairs, past.ratings, settings)


def multiplier(
    past: History, half_life_share: float, exponent: float, floor: float
) -> NDArray[np.float32]:
    """Return the factor of each book's scores, as the model uses it."""
    popular = popularity.weights(past.book_positions, len(past.books.values), half_life_share)
    return popularity.multiplier(popular, exponent, floor)


def ranked(
    past: History,
    scores: Callable[[slice], NDArray[np.float32]],
    half_life_share: float,
    factor: NDArray[np.float32] | None = None,
) -> Ranked:
    """Return lists from scores of blocks of users; scores are scaled a user, since selection rounds to float16.

    Books with next to no score come in the order of recent popularity: the many equal zeros of sparse similarities
    would otherwise come by id, and their selection took most of the time.
    """
    popular = popularity.weights(past.book_positions, len(past.books.values), half_life_share)
    last = (_TIE * popular).astype(np.float32)
    lists = np.full((len(past.users.values), DEPTH), NO_BOOK, dtype=np.int32)
    for start in range(0, len(lists), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(lists)))
        found = scores(rows).astype(np.float32)
        if factor is not None:
            found = np.maximum(found, 0) * factor
        found /= np.maximum(np.abs(found).max(axis=1, keepdims=True), 1e-30)
        found += last
        rated = past.rated[rows]
        found[np.repeat(np.arange(rated.shape[0]), np.diff(rated.indptr)), rated.indices] = -np.inf
        positions, values = scoring.select(found, DEPTH)
        lists[rows, : positions.shape[1]] = np.where(
            np.isfinite(values), past.books.values[positions], np.int32(NO_BOOK)
        )
    return Ranked(past.users.values, lists, ranking.everyone(popular, past, DEPTH))
