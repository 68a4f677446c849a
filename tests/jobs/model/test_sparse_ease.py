"""Sparse EASE against regressions solved one by one, in float64, on dense matrices."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model import sparse_ease

USERS, ITEMS, NEIGHBOURS, PENALTY = 80, 40, 6, 3.0


@pytest.fixture(scope="module")
def training() -> sp.csr_matrix:
    """Confidences of a fifth of the pairs; the last item has none."""
    generator = np.random.default_rng(3)
    dense = generator.uniform(0.5, 3, (USERS, ITEMS)) * (
        generator.uniform(size=(USERS, ITEMS)) < 0.2
    )
    dense[:, -1] = 0
    return sp.csr_matrix(dense.astype(np.float32))


def _expected(training: sp.csr_matrix) -> NDArray[np.float64]:
    """Return the weights by the text: a ridge regression of each item on its nearest by cosine."""
    roots = np.sqrt(training.toarray().astype(np.float64))
    gram = roots.T @ roots
    found = np.zeros((ITEMS, ITEMS))
    for item in range(ITEMS):
        norms = np.sqrt(np.diag(gram))
        likeness = np.divide(gram[item], norms, out=np.zeros(ITEMS), where=norms > 0)
        likeness[item] = 0
        near = np.argsort(-likeness, kind="stable")[:NEIGHBOURS]
        near = near[likeness[near] > 0]
        left = gram[np.ix_(near, near)] + PENALTY * np.eye(len(near))
        found[near, item] = np.linalg.solve(left, gram[near, item])
    return found


def test_weights_are_those_of_regressions_on_the_nearest(training: sp.csr_matrix) -> None:
    """Every weight to five digits; an item without ratings has none, in its row and its column."""
    found = sparse_ease.fit(training, NEIGHBOURS, PENALTY).toarray()
    np.testing.assert_allclose(found, _expected(training), atol=1e-5)
    assert not found[-1].any()
    assert not found[:, -1].any()
    assert not np.diag(found).any()


def test_the_same_bytes_for_any_number_of_threads(training: sp.csr_matrix) -> None:
    """One thread, two and three."""
    found = [sparse_ease.fit(training, NEIGHBOURS, PENALTY, threads) for threads in (1, 2, 3)]
    assert len({one.data.tobytes() + one.indices.tobytes() for one in found}) == 1


def test_items_in_several_chunks_have_the_same_weights(
    training: sp.csr_matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A catalogue larger than what is held at a time is solved part by part."""
    whole = sparse_ease.fit(training, NEIGHBOURS, PENALTY)
    monkeypatch.setattr(sparse_ease, "_CHUNK", 7)
    monkeypatch.setattr(sparse_ease, "_BLOCK", 5)
    parts = sparse_ease.fit(training, NEIGHBOURS, PENALTY)
    np.testing.assert_allclose(parts.toarray(), whole.toarray(), atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 1), (0, 4), (5, 0)])
def test_next_to_nothing_gives_no_weights(shape: tuple[int, int]) -> None:
    """One item, no user, no item."""
    nothing = sp.csr_matrix(np.zeros(shape, dtype=np.float32))
    assert sparse_ease.fit(nothing, 5, 1.0).nnz == 0


def test_all_neighbours_are_ease(training: sp.csr_matrix) -> None:
    """With every other item as a neighbour the weights are those of EASE (jobs/model/ease.py), item by item."""
    found = sparse_ease.fit(training, ITEMS, PENALTY).toarray()
    roots = np.sqrt(training.toarray().astype(np.float64))
    inverse = np.linalg.inv(roots.T @ roots + PENALTY * np.eye(ITEMS))
    exact = -inverse / np.diag(inverse)
    np.fill_diagonal(exact, 0)
    touching = (roots.T @ roots) > 0
    assert touching[:-1, :-1].mean() > 0.8
    full = touching.sum(axis=0) == ITEMS - 1
    assert full.any()
    np.testing.assert_allclose(found[:, full], exact[:, full], atol=1e-4)
