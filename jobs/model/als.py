"""Alternating least squares for implicit feedback.

In: a matrix of confidences (unobserved pairs count 1). Out: float32 factors of users and books. Guarantees the same
bytes for the same input and settings, whatever the number of threads.

Source: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008; solved by conjugate
gradient as in Takacs, Pilaszy, Tikk, "Applications of the conjugate gradient method for implicit feedback
collaborative filtering", RecSys 2011, in the implementation of the package `implicit`.
"""

import os
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from jobs.model.settings import ModelSettings
from jobs.runtime.progress import progress

#: Steps to a relative difference of 5e-7 from the exact solution on Goodbooks-10k (NDCG@10 0.08002 by both) and of 1e-6
#: on 6 million synthetic ratings; without the preconditioner 30 steps leave 5e-5 and take 2.6 times as long.
_STEPS = 8


#: Users' vectors are solved after the fit, which takes a while.
KEEPS_USERS = True

#: Vectors of users (users, width), float32; sparse where they are what was read.
UserFactors: TypeAlias = NDArray[np.float32] | sp.csr_matrix


@dataclass(frozen=True)
class Factors:
    """Vectors of users (users, width) and books (books, width), float32; a row without data is zero."""

    users: UserFactors
    books: NDArray[np.float32]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which users (users,) have a vector."""
        if sp.issparse(self.users):
            return np.asarray(np.diff(self.users.indptr) > 0)
        return np.asarray(self.users.any(axis=1))


def books(
    training: sp.csr_matrix,
    settings: ModelSettings,
    threads: int | None = None,
    *,
    show_progress: bool = True,
) -> NDArray[np.float32]:
    """Return the vectors of books (books, factors) that `fit` finds; the users' are solved again by `user_factors`."""
    return fit(training, settings, threads, show_progress=show_progress).books


def fit(
    confidence: sp.csr_matrix,
    settings: ModelSettings,
    threads: int | None = None,
    *,
    show_progress: bool = True,
) -> Factors:
    """Return the factors of a (users, books) matrix whose stored values are confidences (not 1 + alpha * r).

    Args:
        confidence: float32, shape (users, books), what is stored counts instead of the 1 of an unobserved pair.
        settings: factors, iterations, regularization and seed are used.
        threads: number of worker threads; None for all processors. It does not change the result.
        show_progress: whether a bar counts the iterations.
    """
    # With more BLAS threads the sums of one product come in another order: other bytes.
    with (
        threadpool_limits(1, "blas"),
        progress(settings.iterations, "ALS", "iteration", shown=show_progress) as bar,
    ):
        model = AlternatingLeastSquares(
            factors=settings.factors,
            regularization=settings.regularization,
            alpha=1.0,
            iterations=settings.iterations,
            dtype=np.float32,
            use_native=True,
            use_cg=True,
            num_threads=threads or os.cpu_count() or 1,
            random_state=settings.seed,
        )
        model.fit(
            confidence,
            show_progress=False,
            callback=lambda _iteration, _seconds, _loss: bar.update(1),
        )
    return Factors(np.asarray(model.user_factors), np.asarray(model.item_factors))


def user_factors(
    profiles: sp.csr_matrix,
    books: NDArray[np.float32],
    settings: ModelSettings,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Return the users' vectors (users, factors) that solve their own confidences against `books`.

    Equation 4 of Hu, Koren, Volinsky 2008, by `_STEPS` steps of conjugate gradient from zero; also the fold-in of a
    reader the fit has not seen. `profile_regularization` is used.

    All users share Y'Y + lambda I = LL', so each is solved for L'x instead of x, where their own books alone make the
    system differ from the identity: this is the preconditioner LL' (Saad, "Iterative Methods for Sparse Linear
    Systems", 2003, section 9.2.1), in an implementation that knows of none. The regularization turns into
    books that nobody has read.
    """
    workers = threads or os.cpu_count() or 1
    regularization = settings.profile_regularization
    with threadpool_limits(1, "blas"):  # also when it is made: implicit warns of a threaded BLAS
        unread = np.sqrt(regularization) * np.eye(books.shape[1])
        all_books = np.concatenate([books, unread])
        lower = np.linalg.cholesky(all_books.T @ all_books)
        turned = scipy.linalg.solve_triangular(lower, all_books.T, lower=True)
        model = AlternatingLeastSquares(
            factors=books.shape[1],
            regularization=0.0,
            dtype=np.float32,
            use_native=True,
            use_cg=True,
            num_threads=workers,
        )
        model.cg_steps = _STEPS
        found = np.zeros((profiles.shape[0], books.shape[1]), dtype=np.float32)
        directions = np.ascontiguousarray(turned.T, dtype=np.float32)
        model.solver(profiles, found, directions, model.regularization, num_threads=workers)
        back = scipy.linalg.solve_triangular(lower, np.eye(books.shape[1]), lower=True)
        return found @ back.astype(np.float32)


def similarity(books: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return vectors of length 1 (books, factors), twice: their products are cosines."""
    norms = np.linalg.norm(books, axis=1, keepdims=True)
    units = np.divide(books, norms, out=np.zeros_like(books), where=norms > 0)
    return units, units


def contributions(
    books: NDArray[np.float32],
    read: NDArray[np.int64],
    confidences: NDArray[np.float32],
    wanted: NDArray[np.int64],
    settings: ModelSettings,
) -> NDArray[np.float64]:
    """Return what each read book adds to each wanted one's score, (wanted, read).

    Hu, Koren, Volinsky 2008, section 5: the score of book i is the sum over read books j of y_i' W y_j c_j with
    W = (Y' C Y + lambda I)^-1. `confidences` and `settings` as for `readers`.
    """
    everything = books.astype(np.float64)
    vectors = everything[read]
    weights = confidences.astype(np.float64)
    system = everything.T @ everything + (vectors.T * (weights - 1)) @ vectors
    system[np.diag_indices_from(system)] += settings.profile_regularization
    solved = scipy.linalg.cho_solve(scipy.linalg.cho_factor(system), vectors.T)
    return np.asarray(everything[wanted] @ solved * weights)
