"""How much each rating counts: less with age, less when it is low, most when it is the user's last.

In: rated pairs and their ratings in order of arrival. Out: matrices of confidences for the fit and for the
users' own vectors. Guarantees that ages are shares of all rows or counts of a user's own rows, never ids, dates or
row numbers, so that a setting means the same for any amount of data; and that every rated pair of a weight above 0 is
stored.

A stored confidence near 0 is not the same as none: it takes the pair out of the loss, while a pair that is not
stored is an unread book with confidence 1. What was read long ago is thus neither liked nor disliked today.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model.matrix import Pairs
from jobs.model.popularity import recency
from jobs.model.settings import ModelSettings
from schemas.tables import RATINGS

#: What is stored at least, so that no rated pair becomes an unread one by rounding.
_LEAST = 1e-4


def training(pairs: Pairs, ratings: NDArray[np.int8], settings: ModelSettings) -> sp.csr_matrix:
    """Return the (users, books) confidences of the fit: `alpha`, by rating, halved with each half-life of age.

    `ratings` (rows,) are in order of arrival.
    """
    aged = recency(len(ratings), settings.confidence_half_life_share)
    aged *= np.float32(settings.alpha)
    return _stored(pairs, ratings, settings, aged[pairs.order])


def profiles(pairs: Pairs, ratings: NDArray[np.int8], settings: ModelSettings) -> sp.csr_matrix:
    """Return the (users, books) confidences from which each user's own vector is solved after the fit.

    A rating counts `profile_alpha`, by rating, halved for every `profile_half_life_books` ratings that the same
    reader gave later: the next book of a series follows the one that was just finished. `ratings` as for `training`.
    """
    recent = np.exp2(pairs.later / np.float32(-settings.profile_half_life_books))
    recent *= np.float32(settings.profile_alpha)
    return _stored(pairs, ratings, settings, recent)


def _stored(
    pairs: Pairs, ratings: NDArray[np.int8], settings: ModelSettings, aged: NDArray[np.float32]
) -> sp.csr_matrix:
    """Return the weights by rating times `aged` (pairs,); a pair whose weight is 0 is not stored."""
    weights = _by_rating(settings)[ratings[pairs.order]]
    confidences = np.maximum(weights * aged, np.float32(_LEAST))
    return pairs.matrix(np.where(weights > 0, confidences, np.float32(0)))


def _by_rating(settings: ModelSettings) -> NDArray[np.float32]:
    """Return the weight of each rating, by its number."""
    neutral = settings.positive_from - 1
    weights = np.ones(RATINGS[-1] + 1, dtype=np.float32)
    weights[neutral] = settings.neutral_weight
    weights[:neutral] = settings.low_weight
    return weights
