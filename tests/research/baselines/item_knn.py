"""Item-item nearest neighbours with time weights.

In: a history. Out: lists. Source: Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms",
WWW 2001; the asymmetric normalisation is that of Aiolli, RecSys 2013.
"""

import itertools

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.evaluation.ranked import Ranked
from jobs.evaluation.ranking import History
from tests.research.baselines import weighing


def item_knn(past: History, values: dict[str, float]) -> Ranked:
    """Return lists by the nearest neighbours of each reader's books; `values` as in `all_of_them`."""
    neutral, low = values.get("neutral_weight", 0.0), values.get("low_weight", 0.0)
    half_life = values.get("confidence_half_life_share", np.inf)
    matrix = weighing.weights(past, half_life, neutral, low)
    asked = weighing.profiles(past, values.get("profile_half_life_books", np.inf), neutral, low)
    near = neighbours(matrix, round(values["neighbours"]), values["shrinkage"], values["asymmetry"])

    def scores(rows: slice) -> NDArray[np.float32]:
        return np.asarray((asked[rows] @ near).toarray(), dtype=np.float32)

    popular = values.get("popularity_half_life_share", 0.03)
    exponent = values.get("popularity_exponent", 0.0)
    factor = weighing.multiplier(past, popular, exponent, values.get("popularity_floor", 0.0))
    return weighing.ranked(past, scores, popular, factor if exponent else None)


def neighbours(
    matrix: sp.csr_matrix, count: int, shrinkage: float, asymmetry: float
) -> sp.csr_matrix:
    """Return (books, books) similarities, for each book in a column its `count` nearest."""
    counts = np.asarray(matrix.sum(axis=0)).ravel() + shrinkage + 1e-12
    root = matrix.copy()
    root.data = np.sqrt(root.data)
    near = (root.T.tocsr() @ root).tocsr()
    near.setdiag(0)
    near.data /= counts[near.indices] ** asymmetry
    near = sp.diags(counts ** (asymmetry - 1)) @ near
    # Most pairs have no common reader: a partition of the dense rows took ten times as long.
    for start, end in itertools.pairwise(near.indptr):
        if end - start > count:
            row = near.data[start:end]
            row[np.argpartition(row, -count)[:-count]] = 0
    near.eliminate_zeros()
    found: sp.csr_matrix = near.T.tocsr()
    return found
