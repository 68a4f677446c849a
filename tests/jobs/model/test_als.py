"""The readers' own vectors."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from jobs.model import als
from jobs.model import settings as model_settings


def test_readers_solve_their_own_equations() -> None:
    """Each vector is numpy's solution of (Y'Y + Y'(C - I)Y + lambda I) x = Y'C 1, one reader at a time, in float64."""
    settings = replace(model_settings.load(None), factors=16)
    generator = np.random.default_rng(3)
    books = generator.standard_normal((200, 16)).astype(np.float32)
    shares = sp.random(50, 200, density=0.1, dtype=np.float32, rng=generator)
    profiles = sp.csr_matrix(shares * np.float32(settings.profile_alpha))
    found = als.user_factors(profiles, books, settings, threads=1)

    y = books.astype(np.float64)
    for reader in range(50):
        row = profiles.getrow(reader)
        confidences = np.ones(200)
        confidences[row.indices] = row.data
        liked = np.zeros(200)
        liked[row.indices] = row.data
        system = y.T @ (confidences[:, None] * y) + settings.profile_regularization * np.eye(16)
        np.testing.assert_allclose(found[reader], np.linalg.solve(system, y.T @ liked), atol=1e-4)
