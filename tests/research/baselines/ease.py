"""EASE: a linear autoencoder in closed form, with time weights.

In: a history. Out: lists. Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019. Solved in
the space of users by the matrix inversion lemma, which is the same and costs users ** 3 instead of books ** 3.
"""

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.evaluation.ranked import Ranked
from jobs.evaluation.ranking import History
from tests.research.baselines import weighing


def ease(past: History, values: dict[str, float]) -> Ranked:
    """Return lists by EASE; `values` as in `all_of_them` (without half-lives and weights: plain EASE)."""
    neutral, low = values.get("neutral_weight", 0.0), values.get("low_weight", 0.0)
    half_life = values.get("confidence_half_life_share", np.inf)
    matrix = weighing.weights(past, half_life, neutral, low)
    asked = weighing.profiles(past, values.get("profile_half_life_books", np.inf), neutral, low)
    matrix.data = np.sqrt(matrix.data)
    solved_for, diagonal = inverse(matrix, values["regularization"])
    by_book = matrix.T.tocsr()

    def scores(rows: slice) -> NDArray[np.float32]:
        mine = asked[rows]
        # With P the inverse of the regularised Gram matrix: B = I - P / diag(P).
        solved = by_book @ (solved_for @ (matrix @ mine.T).toarray())
        product = (mine.toarray() - solved.T) / values["regularization"]
        return np.asarray(mine.toarray() - product / diagonal, dtype=np.float32)

    popular = values.get("popularity_half_life_share", 0.03)
    exponent = values.get("popularity_exponent", 0.0)
    factor = weighing.multiplier(past, popular, exponent, values.get("popularity_floor", 0.0))
    return weighing.ranked(past, scores, popular, factor if exponent else None)


def inverse(
    matrix: sp.csr_matrix, regularization: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (K + lambda)^-1 with K = X X', and the diagonal of P = (1 - X'(K + lambda)^-1 X) / lambda."""
    gram = (matrix @ matrix.T).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularization
    found = scipy.linalg.inv(gram, overwrite_a=True, assume_a="pos")
    # The product with a sparse matrix costs an eighth of solving for every book.
    solved = matrix.T.tocsr() @ found
    explained = np.asarray(matrix.T.tocsr().multiply(solved).sum(axis=1)).ravel()
    diagonal = (1 - explained) / regularization
    return found.astype(np.float32), np.maximum(diagonal, 1e-12).astype(np.float32)
