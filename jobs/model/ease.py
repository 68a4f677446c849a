"""EASE: how much each read book speaks for every other, in closed form.

In: a matrix of confidences. Out: float32 vectors of books, as wide as the catalogue. Guarantees the same bytes for the
same input and settings, whatever the number of threads, and memory of 8 bytes for each pair of users or of books,
whichever are fewer, and 4 bytes for each pair of books; a larger catalogue than `MOST_BOOKS` is refused.

Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019: the scores are X B with a zero diagonal,
B = I - P / diag(P), P = (X'X + lambda I)^-1. X holds the roots of the confidences here, so that X'X sums confidences;
a score is asked with the user's own confidences in the place of X's row.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from jobs.model.settings import ModelSettings
from jobs.runtime.errors import WrongUsage
from jobs.runtime.progress import progress

#: Users' vectors are their own confidences.
KEEPS_USERS = False
#: 20,000 books: 1.6 GB of weights, and 3.2 GB more while they are fitted.
MOST_BOOKS = 20_000
_BLOCK = 256


def books(
    training: sp.csr_matrix,
    settings: ModelSettings,
    threads: int | None = None,
    *,
    show_progress: bool = True,
) -> NDArray[np.float32]:
    """Return B' (books, books): row i holds what each read book adds to the score of book i, nothing of itself.

    With A = X'(XX' + lambda I)^-1 X, which is I - lambda P, the weights of book i are A_ij / (1 - A_ii) (matrix
    inversion lemma): what is inverted is as large as the users or the books, whichever are fewer.

    Args:
        training: float32 (users, books) confidences.
        settings: `regularization` is used.
        threads: number of worker threads; None for all processors. It does not change the result.
        show_progress: whether a bar counts the blocks of books.

    Raises WrongUsage when there are more than `MOST_BOOKS` books.
    """
    count = training.shape[1]
    _check(count)
    weights = np.zeros((count, count), dtype=np.float32)
    by_user = sp.csr_matrix(training, dtype=np.float64, copy=True)
    by_user.data = np.sqrt(by_user.data)
    by_book = by_user.T.tocsr()
    starts = range(0, count, _BLOCK)
    with (
        threadpool_limits(1, "blas"),  # more would sum in another order
        ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool,
        progress(len(starts), "EASE", "block", shown=show_progress) as bar,
    ):
        explained = _explained(by_user, by_book, settings.regularization, pool)

        def one(start: int) -> None:
            rows = explained(start)
            place = np.arange(len(rows))
            own = rows[place, start + place].copy()
            rows[place, start + place] = 0
            weights[start : start + len(rows)] = rows / (1 - own)[:, None]

        for _ in pool.map(one, starts):
            bar.update(1)
    return weights


def _check(count: int) -> None:
    if count > MOST_BOOKS:
        raise WrongUsage(
            f"the engine 'ease' keeps a weight for every pair of books, of {MOST_BOOKS:,} at most; there are {count:,}",
            "NIGHTSHELF_ENGINE and the model settings",
            "use the engine 'als', or give a catalogue of fewer books",
        )


def _explained(
    by_user: sp.csr_matrix,
    by_book: sp.csr_matrix,
    regularization: float,
    pool: ThreadPoolExecutor,
) -> Callable[[int], NDArray[np.float64]]:
    """Return a maker of the rows of A (see `books`) from a place on, `_BLOCK` or what is left of them."""
    users, count = by_user.shape
    if users < count:
        inverse = _inverse(by_user, by_book, regularization, pool)

        def of_users(start: int) -> NDArray[np.float64]:
            solved = by_book[start : start + _BLOCK] @ inverse
            return np.ascontiguousarray((by_book @ np.ascontiguousarray(solved.T)).T)

        return of_users
    inverse = _inverse(by_book, by_user, regularization, pool)

    def of_books(start: int) -> NDArray[np.float64]:
        rows = inverse[start : start + _BLOCK] * -regularization
        place = np.arange(len(rows))
        rows[place, start + place] += 1
        return rows

    return of_books


def _inverse(
    rows: sp.csr_matrix, columns: sp.csr_matrix, regularization: float, pool: ThreadPoolExecutor
) -> NDArray[np.float64]:
    """Return (R R' + lambda I)^-1 where `columns` is R'. In float32 it would be right to 2 or 3 digits only."""
    size = rows.shape[0]
    gram = np.zeros((size, size))

    def one(start: int) -> None:
        gram[start : start + _BLOCK] = (rows[start : start + _BLOCK] @ columns).toarray()

    for _ in pool.map(one, range(0, size, _BLOCK)):
        pass
    gram[np.diag_indices_from(gram)] += regularization
    if not size:
        return gram
    # Turned, as LAPACK wants it, and back: else it works on a copy.
    found: NDArray[np.float64] = scipy.linalg.inv(
        gram.T, overwrite_a=True, check_finite=False, assume_a="pos"
    )
    return found.T


def user_factors(
    profiles: sp.csr_matrix,
    books: NDArray[np.float32],  # noqa: ARG001  # as the other engine
    settings: ModelSettings,  # noqa: ARG001
    threads: int | None = None,  # noqa: ARG001
) -> sp.csr_matrix:
    """Return the users' vectors (users, books): what they read, as `profiles` weighs it."""
    return profiles


def similarity(books: NDArray[np.float32]) -> tuple[sp.csr_matrix, NDArray[np.float32]]:
    """Return (the identity, the partial correlations of books given all others), (books, books) each.

    B_ij B_ji = P_ij^2 / (P_ii P_jj), the square of the partial correlation; B_ij has its sign (Lauritzen, "Graphical
    Models", 1996, section 5.1.3). Without the other books' share, so that what everybody reads is not near to all.
    """
    found = np.empty_like(books)
    for start in range(0, len(books), _BLOCK):
        rows = books[start : start + _BLOCK]
        product = rows * books[:, start : start + _BLOCK].T
        found[start : start + _BLOCK] = np.sign(rows) * np.sqrt(np.maximum(product, 0))
    return sp.identity(len(books), dtype=np.float32, format="csr"), found


def contributions(
    books: NDArray[np.float32],
    read: NDArray[np.int64],
    confidences: NDArray[np.float32],
    wanted: NDArray[np.int64],
    settings: ModelSettings,  # noqa: ARG001  # as the other engine
) -> NDArray[np.float64]:
    """Return what each read book adds to each wanted one's score, (wanted, read): its weight, times the confidence."""
    weights = books[wanted][:, read].astype(np.float64)
    return np.asarray(weights * confidences.astype(np.float64))
