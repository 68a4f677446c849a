"""Selection against a full sort written the slow and obvious way."""

import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from jobs.model import scoring


def _slow(scores: np.ndarray, excluded: set[int], limit: int) -> list[tuple[int, float]]:
    """Every book of one user, rounded, sorted by (score descending, position), cut."""
    usable = [
        (book, float(np.float16(score)))
        for book, score in enumerate(scores)
        if book not in excluded
    ]
    return sorted(usable, key=lambda pair: (-pair[1], pair[0]))[:limit]


@given(
    seed=st.integers(0, 2**32 - 1),
    books=st.integers(1, 2000),
    limit=st.integers(1, 120),
    levels=st.sampled_from([2, 5, 1000]),
)
def test_selection_is_a_full_sort(seed: int, books: int, limit: int, levels: int) -> None:
    """Also with few distinct scores, where nearly everything is a tie at the boundary."""
    generator = np.random.default_rng(seed)
    users = (generator.integers(-levels, levels, (5, 1)) / levels).astype(np.float32)
    vectors = (generator.integers(0, levels, (books, 1)) / levels).astype(np.float32)
    taken = generator.random((5, books)) < 0.3
    found = scoring.best(users, vectors, sp.csr_matrix(taken.astype(np.float32)), limit)
    for row, (positions, scores) in enumerate(scoring.rows_of(found)):
        expected = _slow(users[row] * vectors[:, 0], set(np.flatnonzero(taken[row])), limit)
        assert list(zip(positions.tolist(), scores.tolist(), strict=True)) == expected


def test_a_multiplier_changes_every_users_scores() -> None:
    """With multipliers 1, 3, 2 and equal products the order is 1, 2, 0."""
    ones = np.ones((2, 1), dtype=np.float32)
    nothing = sp.csr_matrix(np.zeros((2, 3), dtype=np.float32))
    multiplier = np.array([1, 3, 2], dtype=np.float32)
    found = scoring.best(ones, np.ones((3, 1), np.float32), nothing, 3, multiplier=multiplier)
    assert found.positions.tolist() == [[1, 2, 0], [1, 2, 0]]
