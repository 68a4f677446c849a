"""The explanation of a score: its parts add up, and the right book speaks."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from jobs.model import als
from jobs.model import settings as model_settings

SETTINGS = model_settings.load(None)


def test_the_parts_add_up_to_the_score() -> None:
    """The sum over read books is the dot product with the exactly solved vector, for every book."""
    generator = np.random.default_rng(4)
    books = generator.normal(size=(30, 6)).astype(np.float32)
    read, confidences = np.array([2, 7, 11]), np.array([5.0, 0.5, 20.0], dtype=np.float32)
    profile = sp.csr_matrix((confidences, (np.zeros(3, int), read)), shape=(1, 30))
    scores = als.readers(profile, books, SETTINGS) @ books.T
    found = als.parts(books, read, confidences, np.arange(30), SETTINGS)
    assert found.shape == (30, 3)
    assert found.sum(axis=1) == pytest.approx(scores[0], abs=1e-4)


def test_the_book_of_the_same_kind_speaks_most() -> None:
    """With two kinds of books that have nothing in common, the only part of weight is that of the same kind."""
    books = np.zeros((4, 2), dtype=np.float32)
    books[[0, 1], 0] = 1
    books[[2, 3], 1] = 1
    found = als.parts(
        books,
        np.array([0, 2]),
        np.array([10.0, 10.0], dtype=np.float32),
        np.array([1, 3]),
        replace(SETTINGS, profile_regularization=1.0),
    )
    # Y'Y is 2 I, each read book adds 9 to its own dimension, lambda 1: 10 / (2 + 9 + 1).
    assert found == pytest.approx(np.diag([10 / 12, 10 / 12]))
