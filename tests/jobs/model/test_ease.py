"""EASE: what Steck's closed form gives, in either space, and where it ends."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from jobs.model import ease, personal
from jobs.model import settings as model_settings
from jobs.model.als import Factors
from jobs.runtime.errors import WrongUsage

SETTINGS = replace(model_settings.load(None, "ease"), regularization=3.0)


@pytest.mark.parametrize("users", [12, 300], ids=["fewer users than books", "more users"])
def test_weights_are_those_of_the_closed_form(users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """B = I - P / diag(P) with P = (X'X + lambda I)^-1 by numpy, X the roots of the confidences; in blocks of 7."""
    monkeypatch.setattr(ease, "_BLOCK", 7)
    generator = np.random.default_rng(2)
    confidences = generator.random((users, 20)) * (generator.random((users, 20)) > 0.6)
    found = ease.books(sp.csr_matrix(confidences), SETTINGS, show_progress=False)
    x = np.sqrt(confidences)
    inverse = np.linalg.inv(x.T @ x + 3.0 * np.eye(20))
    expected = np.eye(20) - inverse / np.diag(inverse)
    assert found.dtype == np.float32
    assert pytest.approx(expected, abs=1e-5) == found.T


def test_two_books_by_hand() -> None:
    """Two books of one reader, confidence 1, lambda 1.

    X'X + I = [[2, 1], [1, 2]], its inverse P = [[2, -1], [-1, 2]] / 3: each speaks for the other with 1/2, and
    their partial correlation is 1 / 2 too.
    """
    settings = replace(SETTINGS, regularization=1.0)
    found = ease.books(sp.csr_matrix(np.ones((1, 2))), settings, show_progress=False)
    assert found == pytest.approx(np.array([[0, 0.5], [0.5, 0]]))
    left, right = ease.similarity(found)
    assert np.asarray(left @ right.T) == pytest.approx(np.array([[0, 0.5], [0.5, 0]]))
    profile = np.array([0.8], dtype=np.float32)
    contributions = ease.contributions(found, np.array([0]), profile, np.array([1]), settings)
    assert contributions == pytest.approx(np.array([[0.4]]))


def test_similarity_is_the_partial_correlation() -> None:
    """-P_ij / sqrt(P_ii P_jj), for weights that differ both ways."""
    x = np.random.default_rng(5).random((40, 9)) * (np.random.default_rng(6).random((40, 9)) > 0.5)
    found = ease.books(sp.csr_matrix(x**2), SETTINGS, show_progress=False)
    left, right = ease.similarity(found)
    inverse = np.linalg.inv(x.T @ x + 3.0 * np.eye(9))
    expected = -inverse / np.sqrt(np.outer(np.diag(inverse), np.diag(inverse)))
    np.fill_diagonal(expected, 0)
    assert np.asarray(left @ right.T) == pytest.approx(expected, abs=1e-4)


def test_too_many_books_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message tells both numbers and the way out, before any memory is taken."""
    monkeypatch.setattr(ease, "MOST_BOOKS", 5)
    with pytest.raises(WrongUsage, match=r"5 at most; there are 6[\s\S]*engine 'als'"):
        ease.books(sp.csr_matrix(np.zeros((1, 6))), SETTINGS, show_progress=False)


def test_a_reader_of_a_book_that_nobody_else_read_gets_what_is_popular() -> None:
    """Their book speaks for none, every score is 0, and a list by number of book would be no recommendation."""
    dense = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]], dtype=np.float32)
    read = sp.csr_matrix(dense)
    books = ease.books(read, SETTINGS, show_progress=False)
    popular = np.array([0.2, 0.4, 0.1, 1.0])
    listed = personal.best(Factors(read, books), read, popular, SETTINGS, 2)
    assert listed.own.tolist() == [False, True, False]
    assert listed.found.positions[1].tolist()[0] == 1
    assert listed.found.positions[2].tolist() == [3, 1]
