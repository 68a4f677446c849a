"""The best books of every user: scores by blocks, exact selection.

In: vectors of users and books, the books each user has rated. Out: positions and scores of the best. Guarantees
exactly the result of a full sort by (score rounded to float16, descending; position, ascending), and the same
bytes for any number of threads: blocks are fixed and each is multiplied by one BLAS thread.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

#: Rows of one product. 128 x 10,000 float32 stay in the second-level cache's reach.
BLOCK = 128
#: Groups of books whose greatest scores bound a user's list from below.
_GROUPS = 512


@dataclass(frozen=True)
class Best:
    """Best positions and scores, (rows, limit) each; a row's `counts` first entries are valid."""

    positions: NDArray[np.int32]
    scores: NDArray[np.float32]
    counts: NDArray[np.int64]


def best(
    users: NDArray[np.float32] | sp.csr_matrix,
    books: NDArray[np.float32],
    excluded: sp.csr_matrix,
    limit: int,
    *,
    multiplier: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> Best:
    """Return the `limit` best books of each user by the dot product of their vectors.

    Args:
        users: float32 (users, factors), dense or sparse.
        books: float32 (books, factors).
        excluded: (users, books); the stored entries are left out. A score of minus infinity leaves out too.
        limit: how many books a user gets at most.
        multiplier: float32 (books,), multiplies every user's scores, or None.
        threads: worker threads; None for all processors. It does not change the result.
    """
    rows = users.shape[0]
    found = Best(
        np.zeros((rows, limit), dtype=np.int32),
        np.zeros((rows, limit), dtype=np.float32),
        np.zeros(rows, dtype=np.int64),
    )
    turned = np.ascontiguousarray(books.T)

    def one(start: int) -> None:
        end = min(start + BLOCK, rows)
        scores = users[start:end] @ turned
        if multiplier is not None:
            scores *= multiplier
        _exclude(scores, excluded, start)
        positions, values = select(scores, limit)
        width = positions.shape[1]
        found.positions[start:end, :width] = positions
        found.scores[start:end, :width] = values
        found.counts[start:end] = np.isfinite(values).sum(axis=1)

    with (
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool,
    ):
        for _ in pool.map(one, range(0, rows, BLOCK)):
            pass
    return found


def rounded(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scores as the float32 numbers that a float16 holds, without negative zero."""
    return scores.astype(np.float16).astype(np.float32) + np.float32(0)


def select(
    scores: NDArray[np.float32], limit: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return (positions, scores) of each row's best `limit`, by rounded score and then by position.

    Shapes (rows, min(limit, books)). Scores come out rounded; minus infinity stays and comes last.
    """
    rows, books = scores.shape
    limit = min(limit, books)
    if books <= _GROUPS + limit:
        return _ordered(scores, np.arange(books), limit)
    least = reached(scores, limit)
    chosen = np.flatnonzero(scores >= _rounds_to(least)[:, None])
    row, position = np.divmod(chosen, books)
    counts = np.bincount(row, minlength=rows)
    place = np.arange(len(chosen)) - np.repeat(np.cumsum(counts) - counts, counts)
    values = np.full((rows, counts.max()), -np.inf, dtype=np.float32)
    positions = np.full(values.shape, books, dtype=np.int64)
    values[row, place] = scores.ravel()[chosen]
    positions[row, place] = position
    return _ordered(values, positions, limit)


def reached(scores: NDArray[np.float32], limit: int) -> NDArray[np.float32]:
    """Return a score for each row (rows,) that at least `limit` of its scores (rows, books) reach, and few more.

    These are the limit-th greatest of the maxima of groups of books: a pass over contiguous memory finds them seven
    times faster than argpartition the best scores (3 instead of 21 ms a block of 128 x 10,000).
    """
    rows, books = scores.shape
    if books <= _GROUPS + limit:
        return np.partition(scores, max(books - limit, 0), axis=1)[:, max(books - limit, 0)]
    whole = books // _GROUPS * _GROUPS
    maxima = np.concatenate(
        [scores[:, :whole].reshape(rows, -1, _GROUPS).max(axis=1), scores[:, whole:]], axis=1
    )
    return np.partition(maxima, -limit, axis=1)[:, -limit]


def _rounds_to(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the least number that may round to the same float16 as each score: half-way to the one below."""
    above = scores.astype(np.float16)
    below = np.nextafter(above, np.float16(-np.inf))
    half_way = (above.astype(np.float32) + below.astype(np.float32)) / 2
    return np.where(np.isfinite(half_way), half_way, np.float32(-np.inf))


def _ordered(
    values: NDArray[np.float32], positions: NDArray[np.int64], limit: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    # One integer a candidate: the score's bits made to sort like the score, inverted, above the position.
    key = (~sortable(rounded(values))).astype(np.int64) << 32 | positions
    key.sort(axis=1)
    key = key[:, :limit]
    ascending = ~(key >> 32).astype(np.int32)
    bits = ascending ^ ((ascending >> 31) & np.int32(0x7FFFFFFF))
    return (key & 0xFFFFFFFF).astype(np.int32), np.ascontiguousarray(bits).view(np.float32)


def sortable(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return numbers that sort like values without negative zeros: their bits, those of negative ones turned round."""
    bits = values.view(np.int32)
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


def _exclude(scores: NDArray[np.float32], excluded: sp.csr_matrix, start: int) -> None:
    pointers = excluded.indptr[start : start + scores.shape[0] + 1]
    rows = np.repeat(np.arange(scores.shape[0]), np.diff(pointers))
    scores[rows, excluded.indices[pointers[0] : pointers[-1]]] = -np.inf


def rows_of(found: Best) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """Yield each row's valid positions and scores."""
    for row, count in enumerate(found.counts):
        yield found.positions[row, :count], found.scores[row, :count]
