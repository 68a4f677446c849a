"""How much two releases' lists differ, as rank-biased overlap.

In: two matrices of lists of the same users. Out: one number a user, 1 for identical and 0 for disjoint lists.
Guarantees that early places weigh most: Webber, Moffat and Zobel, "A similarity measure for indefinite rankings"
(TOIS 2010), cut at a depth and divided by the weight up to there.
"""

import numpy as np

from jobs.evaluation.metrics import Values
from jobs.evaluation.ranked import NO_BOOK, IdMatrix

PERSISTENCE = 0.9
DEPTH = 50  # 99.5 % of the weight at a persistence of 0.9
_BLOCK = 2048


def rank_biased_overlap(ours: IdMatrix, theirs: IdMatrix, depth: int = DEPTH) -> Values:
    """Return the overlap of lists (n, a) and (n, b) of the same n users, up to `depth`."""
    blocks = [
        _overlap(ours[start : start + _BLOCK, :depth], theirs[start : start + _BLOCK, :depth])
        for start in range(0, len(ours), _BLOCK)
    ]
    return np.concatenate(blocks) if blocks else np.zeros(0)


def _overlap(ours: IdMatrix, theirs: IdMatrix) -> Values:
    depth = max(ours.shape[1], theirs.shape[1])
    # A book common to both is in the overlap from the later of its two ranks on.
    user, our_rank, their_rank = np.nonzero(
        (ours[:, :, None] == theirs[:, None, :]) & (ours != NO_BOOK)[:, :, None]
    )
    later = np.maximum(our_rank, their_rank)
    entered = np.bincount(user * depth + later, minlength=len(ours) * depth)
    agreement = entered.reshape(len(ours), depth).cumsum(axis=1) / np.arange(1, depth + 1)
    weights = PERSISTENCE ** np.arange(depth)
    return np.asarray((agreement * weights).sum(axis=1) / weights.sum())
