"""Intervals by resampling users (Efron and Tibshirani 1993; paired: Sakai, SIGIR 2006).

In: one number a case and the user of each case. Out: a value with its interval. Guarantees that all cases of
one user go into a resample together, because they are not independent, and that two rankings are compared
on the same resamples.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from jobs.evaluation.metrics import Values
from jobs.evaluation.ranked import Ids

_BLOCK_NUMBERS = 8_000_000  # about 64 MB a block


@dataclass(frozen=True)
class Interval:
    """A value and the bounds between which it lies with the chosen confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Resampling:
    """How often, how wide, from which seed."""

    samples: int
    confidence: float
    seed: int


def multiplicities(users: int, how: Resampling) -> Iterator[np.ndarray]:
    """Give blocks (s, users) of how often each user was drawn, `how.samples` rows in all."""
    generator = np.random.default_rng(how.seed)
    rows = max(1, _BLOCK_NUMBERS // max(users, 1))
    for start in range(0, how.samples, rows):
        count = min(rows, how.samples - start)
        drawn = generator.integers(0, users, size=(count, users))
        drawn += np.arange(count)[:, None] * users
        yield (
            np.bincount(drawn.ravel(), minlength=count * users)
            .reshape(count, users)
            .astype(np.float64)
        )


def resampled_means(user_ids: Ids, values: np.ndarray, how: Resampling) -> np.ndarray:
    """Return the means (samples, k) of the columns of `values` (cases, k) over resampled users."""
    users, of_user = np.unique(user_ids, return_inverse=True)
    sums = np.zeros((len(users), values.shape[1]))
    np.add.at(sums, of_user, values)
    cases = np.bincount(of_user, minlength=len(users)).astype(np.float64)
    return np.concatenate(
        [(drawn @ sums) / (drawn @ cases)[:, None] for drawn in multiplicities(len(users), how)]
    )


def interval(value: float, resampled: np.ndarray, confidence: float) -> Interval:
    """Return the percentile interval of `resampled` (samples,) around `value`."""
    outside = (1 - confidence) / 2
    low, high = np.quantile(resampled, [outside, 1 - outside])
    return Interval(float(value), float(low), float(high))


def mean(user_ids: Ids, values: Values, how: Resampling) -> Interval:
    """Return the mean of `values` (cases,) with its interval."""
    resampled = resampled_means(user_ids, values[:, None], how)[:, 0]
    return interval(float(values.mean()), resampled, how.confidence)


def exposures(
    user_ids: list[Ids], shown: list[sp.csr_matrix], how: Resampling
) -> Iterator[list[np.ndarray]]:
    """Give blocks of exposure counts (s, books) over resampled users, one array a cut, on the same users for all.

    `shown` holds (users, books) incidence matrices, `user_ids` the users of their rows.
    """
    everyone = np.unique(np.concatenate(user_ids))
    places = [np.searchsorted(everyone, ids) for ids in user_ids]
    for drawn in multiplicities(len(everyone), how):
        yield [
            np.asarray((matrix.T @ drawn[:, place].T).T)
            for place, matrix in zip(places, shown, strict=True)
        ]


def centred(value: float, resampled: np.ndarray, confidence: float) -> Interval:
    """Return the interval around `value` with the spread of `resampled` (samples,) around its own mean.

    For statistics such as the number of distinct books, which a resample of users always has fewer of.
    """
    return interval(value, resampled - resampled.mean() + value, confidence)


@dataclass(frozen=True)
class Difference:
    """Ours less theirs, and the same relative to theirs; paired."""

    absolute: Interval
    relative: Interval | None


def difference(user_ids: Ids, ours: Values, theirs: Values, how: Resampling) -> Difference:
    """Return the paired difference of two metrics (cases,); relative is None when theirs can be 0."""
    resampled = resampled_means(user_ids, np.column_stack([ours, theirs]), how)
    ours_mean, theirs_mean = float(ours.mean()), float(theirs.mean())
    absolute = interval(ours_mean - theirs_mean, resampled[:, 0] - resampled[:, 1], how.confidence)
    if theirs_mean <= 0 or (resampled[:, 1] <= 0).any():
        return Difference(absolute, None)
    ratio = resampled[:, 0] / resampled[:, 1] - 1
    return Difference(absolute, interval(ours_mean / theirs_mean - 1, ratio, how.confidence))
