"""Lists of the two stages: candidates ranked, the rest of the pool behind them, then the rules of the shelf.

In: fitted generators, a ranker (None: ALS alone), users. Out: their best items with scores. The stored order is the
rank: the score is the ranker's and need not descend where a rule moved an item. Behind the ranked candidates the pool
goes on in the order of ALS, with scores below the last. Equal scores go by a fixed hash of the item.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from jobs.model import als, personal, scoring
from jobs.model.personal import Personal
from jobs.model.settings import stage_of
from jobs.model.shelf.history import Read
from jobs.model.shelf.shelving import shelve
from jobs.model.two_stage import candidates, engine, features
from jobs.model.two_stage.candidates import Candidates
from jobs.model.two_stage.generators import Generators
from jobs.model.two_stage.ranker import Ranker

#: How far scores of the pool behind the ranked candidates lie below one another.
_STEP = np.float32(0.01)


@dataclass(frozen=True)
class Listed:
    """Lists of users, and how many items each shelf rule held back or kept out in all of them."""

    personal: Personal
    moved: dict[str, int]


def best(
    fitted: Generators,
    ranker: Ranker | None,
    users: NDArray[np.int64],
    limit: int,
    *,
    threads: int | None = None,
) -> Listed:
    """Return the `limit` best items of each of `users`, given as positions.

    A user of whom ALS knows nothing gets what is read lately. The same for any number of threads.
    """
    settings = fitted.settings
    rated = fitted.past.rated[users]
    vectors = als.Factors(fitted.short[users], fitted.vectors)
    pool = max(stage_of(settings).pool, limit)
    first = personal.best(vectors, rated, fitted.popular, settings, pool, threads=threads)
    found = scoring.Best(
        np.zeros((len(users), limit), dtype=np.int32),
        np.zeros((len(users), limit), dtype=np.float32),
        np.zeros(len(users), dtype=np.int64),
    )
    moved: dict[str, int] = {}
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool_:

        def one(start: int) -> dict[str, int]:
            cells = slice(start, start + candidates.BLOCK)
            items, scores = _pool(fitted, ranker, users[cells], first, cells)
            return _shelve(fitted, users[cells], (items, scores), found, cells)

        for counts in pool_.map(one, range(0, len(users), candidates.BLOCK)):
            for name, count in counts.items():
                moved[name] = moved.get(name, 0) + count
    _keep_popular(found, first, limit)
    return Listed(Personal(found, first.own), moved)


def _pool(
    fitted: Generators,
    ranker: Ranker | None,
    users: NDArray[np.int64],
    first: Personal,
    cells: slice,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the pool of a block of users (users, pool), -1 after the last, and scores (users, items)."""
    behind = first.found.positions[cells].astype(np.int64)
    place = np.arange(behind.shape[1])
    valid = place < first.found.counts[cells][:, None]
    scores = np.full((len(users), fitted.past.pairs.shape[1]), np.nan, dtype=np.float32)
    row, at = np.nonzero(valid)
    if ranker is None:
        scores[row, behind[row, at]] = first.found.scores[cells][row, at]
        return np.where(valid, behind, -1), scores
    found, ranks = engine.ranked(fitted, ranker, users, threads=1)
    lowest = np.zeros(len(users), dtype=np.float32)
    np.minimum.at(lowest, found.row, ranks)
    scores[row, behind[row, at]] = lowest[row] - _STEP * (at + 1)
    scores[found.row, found.item] = ranks
    return _joined(found, ranks, (row, behind[row, at]), scores.shape), scores


def _joined(
    found: Candidates,
    ranks: NDArray[np.float32],
    behind: tuple[NDArray[np.int64], NDArray[np.int64]],
    shape: tuple[int, int],
) -> NDArray[np.int64]:
    """Return each user's candidates by score, then the rest of the pool in its order."""
    ranked = np.zeros(shape, dtype=np.bool_)
    ranked[found.row, found.item] = True
    row, item = behind
    rest = ~ranked[row, item]
    order = np.lexsort((_tie(found.item), -ranks, found.row))
    rows = np.concatenate([found.row[order], row[rest]])
    items = np.concatenate([found.item[order], item[rest]])
    by_row = np.argsort(rows, kind="stable")
    counts = np.bincount(rows, minlength=shape[0])
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    joined = np.full((shape[0], int(counts.max(initial=0))), -1, dtype=np.int64)
    joined[rows[by_row], place] = items[by_row]
    return joined


def _tie(item: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return a number for each item that has nothing to do with its order (Knuth's multiplicative hash)."""
    return (item.astype(np.uint32) + np.uint32(1)) * np.uint32(2654435761)


def _shelve(
    fitted: Generators,
    users: NDArray[np.int64],
    pool: tuple[NDArray[np.int64], NDArray[np.float32]],
    found: scoring.Best,
    cells: slice,
) -> dict[str, int]:
    """Write the lists of a block, made of its `pool`, into `found` and return what each rule moved."""
    items, scores = pool
    limit, moved = found.positions.shape[1], {}
    rules = fitted.settings.rules
    if rules is not None:
        read = features.entries(fitted.past, users)
        shelved = shelve(items, Read(read.row, read.item), fitted.metadata, rules, limit)
        items, moved = shelved.items, shelved.moved
    items = items[:, :limit]
    valid = items >= 0
    values = np.take_along_axis(scores, np.maximum(items, 0), axis=1)
    # A first volume that a rule brought in was not ranked: it counts as what stands before it.
    for place in np.flatnonzero((np.isnan(values) & valid).any(axis=0)):
        missing = np.isnan(values[:, place]) & valid[:, place]
        values[missing, place] = values[missing, place - 1] if place else 0
    width = items.shape[1]
    found.positions[cells, :width] = np.where(valid, items, 0)
    found.scores[cells, :width] = scoring.rounded(np.where(valid, values, np.float32(0)))
    found.counts[cells] = valid.sum(axis=1)
    return moved


def _keep_popular(found: scoring.Best, first: Personal, limit: int) -> None:
    """Give users without a vector of their own what is read lately, as it is."""
    common = ~first.own
    found.positions[common] = first.found.positions[common, :limit]
    found.scores[common] = first.found.scores[common, :limit]
    found.counts[common] = np.minimum(first.found.counts[common], limit)
