"""EASE with few weights an item: each item is explained by the items that are most like it, in closed form.

In: a matrix of confidences. Out: a sparse matrix of weights, `neighbours` an item. The same bytes for the same input,
whatever the number of threads; memory grows with items times neighbours squared, not with pairs of items.

For item i the weights solve (G_NN + lambda I) b = G_Ni over its neighbours N: the items of the greatest cosine
G_ij / sqrt(G_ii G_jj), where G = X'X holds the roots of confidences. This is the regression that EASE (Steck,
"Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, equation 4) does on all items at once, restricted as in
SLIM with a fixed support (Ning and Karypis, ICDM 2011). Sums over users are exact.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

#: Items of one block of G: 128 x 100,000 float32 take 51 MB.
_BLOCK = 128
#: Items whose small systems are solved at a time (float64): with 50 neighbours 20 MB.
_AT_A_TIME = 1_000
#: Items whose small systems are held (float32): with 50 neighbours 250 MB. More items need further passes over G.
_CHUNK = 25_000


def fit(
    training: sp.csr_matrix, neighbours: int, regularization: float, threads: int | None = None
) -> sp.csr_matrix:
    """Return the weights (items, items), float32: column i holds what each of its neighbours adds to item i.

    Args:
        training: float32 (users, items) confidences.
        neighbours: how many items explain one at most.
        regularization: lambda, above 0.
        threads: worker threads; None for all processors. It does not change the result.
    """
    roots = training.tocsr(copy=True)
    roots.data = np.sqrt(roots.data)
    by_item = roots.T.tocsr()
    diagonal = np.asarray(by_item.multiply(by_item).sum(axis=1)).ravel()
    width = min(neighbours, max(roots.shape[1] - 1, 1))
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        near, shared = _nearest(by_item, roots, diagonal, width, pool)
        solved = [
            _solved(by_item, roots, (near, shared, diagonal), chunk, regularization, pool=pool)
            for chunk in _blocks(len(near), _CHUNK)
        ]
    weights = np.concatenate(solved) if solved else shared
    return _as_matrix(near, weights)


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _nearest(
    by_item: sp.csr_matrix,
    roots: sp.csr_matrix,
    diagonal: NDArray[np.float32],
    width: int,
    pool: ThreadPoolExecutor,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return each item's nearest (items, width), ascending, and what it shares with them; -1 where there are fewer."""
    count = by_item.shape[0]
    norms = np.sqrt(diagonal)
    scale = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
    near = np.full((count, width), -1, dtype=np.int32)
    shared = np.zeros((count, width), dtype=np.float32)

    def one(block: slice) -> None:
        gram = (by_item[block] @ roots).tocsr()
        gram.sort_indices()
        for row in range(gram.shape[0]):
            item, cells = block.start + row, slice(gram.indptr[row], gram.indptr[row + 1])
            others, values = gram.indices[cells], gram.data[cells]
            values = np.where(others == item, np.float32(0), values)
            chosen = _greatest(values * scale[others], width)
            near[item, : len(chosen)], shared[item, : len(chosen)] = others[chosen], values[chosen]

    for _ in pool.map(one, _blocks(count, _BLOCK)):
        pass
    return near, shared


def _greatest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the places of the `count` greatest values above 0, ascending; of equal ones the first."""
    if len(values) > count:
        least = np.partition(values, -count)[-count]
        above = np.flatnonzero(values > max(least, 0))
        equal = np.flatnonzero((values == least) & (values > 0))[: count - len(above)]
        return np.sort(np.concatenate([above, equal]))
    return np.flatnonzero(values > 0)


def _solved(
    by_item: sp.csr_matrix,
    roots: sp.csr_matrix,
    nearest: tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]],
    chunk: slice,
    regularization: float,
    *,
    pool: ThreadPoolExecutor,
) -> NDArray[np.float32]:
    """Return the weights (chunk, width) of the regressions of some items; 0 where there is no neighbour."""
    near, shared, diagonal = nearest[0][chunk], nearest[1][chunk], nearest[2]
    left = _systems(by_item, roots, near, pool)
    place = np.arange(near.shape[1])
    # A place without a neighbour has an equation of its own: weight 0.
    left[:, place, place] = np.where(near >= 0, diagonal[near], 0) + regularization

    def one(block: slice) -> NDArray[np.float32]:
        right = shared[block].astype(np.float64)[:, :, None]
        found = np.linalg.solve(left[block].astype(np.float64), right)[:, :, 0]
        return np.where(near[block] >= 0, found, 0).astype(np.float32)

    return np.concatenate(list(pool.map(one, _blocks(len(near), _AT_A_TIME))))


def _systems(
    by_item: sp.csr_matrix, roots: sp.csr_matrix, near: NDArray[np.int32], pool: ThreadPoolExecutor
) -> NDArray[np.float32]:
    """Return what each two neighbours of an item share, (items, width, width); 0 for a place without one.

    Rows of G are made a second time, block by block: kept, they would take memory of items squared.
    """
    items, width = near.shape
    found = np.zeros((items, width, width), dtype=np.float32)
    item, place = np.nonzero(near >= 0)
    neighbour = near[item, place]
    # The places of each neighbour, by counting: 0.1 s for 500,000 where a stable argsort takes 1.
    entries = (np.arange(len(item)), neighbour, np.arange(len(item) + 1))
    turned = sp.csr_matrix(entries, shape=(len(item), by_item.shape[0])).tocsc()

    def one(block: slice) -> None:
        wanted = turned.indices[turned.indptr[block.start] : turned.indptr[block.stop]]
        if not len(wanted):
            return
        gram = (by_item[block] @ roots).toarray()
        others = near[item[wanted]]
        shared = gram[(neighbour[wanted] - block.start)[:, None], np.maximum(others, 0)]
        found[item[wanted], place[wanted]] = np.where(others >= 0, shared, np.float32(0))

    for _ in pool.map(one, _blocks(by_item.shape[0], _BLOCK)):
        pass
    return found


def _as_matrix(near: NDArray[np.int32], weights: NDArray[np.float32]) -> sp.csr_matrix:
    count = len(near)
    items, places = np.nonzero(near >= 0)
    entries = (weights[items, places], (near[items, places], items))
    return sp.csr_matrix(entries, shape=(count, count), dtype=np.float32)
