"""The explanation of a score: its parts add up, and the right book speaks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from jobs.model import als, explanation
from jobs.model import settings as model_settings
from jobs.model.settings import ModelSettings
from jobs.pipeline import recommend, train
from schemas import tables
from tests.jobs.evaluation import groups

SETTINGS = model_settings.load(None)


def test_the_parts_add_up_to_the_score() -> None:
    """The sum over read books is the dot product with the exactly solved vector, for every book."""
    generator = np.random.default_rng(4)
    books = generator.normal(size=(30, 6)).astype(np.float32)
    read, confidences = np.array([2, 7, 11]), np.array([5.0, 0.5, 20.0], dtype=np.float32)
    profile = sp.csr_matrix((confidences, (np.zeros(3, int), read)), shape=(1, 30))
    scores = als.user_factors(profile, books, SETTINGS) @ books.T
    found = als.contributions(books, read, confidences, np.arange(30), SETTINGS)
    assert found.shape == (30, 3)
    assert found.sum(axis=1) == pytest.approx(scores[0], abs=1e-4)


def test_the_book_of_the_same_kind_speaks_most() -> None:
    """With two kinds of books that have nothing in common, the only part of weight is that of the same kind."""
    books = np.zeros((4, 2), dtype=np.float32)
    books[[0, 1], 0] = 1
    books[[2, 3], 1] = 1
    found = als.contributions(
        books,
        np.array([0, 2]),
        np.array([10.0, 10.0], dtype=np.float32),
        np.array([1, 3]),
        replace(SETTINGS, profile_regularization=1.0),
    )
    # Y'Y is 2 I, each read book adds 9 to its own dimension, lambda 1: 10 / (2 + 9 + 1).
    assert found == pytest.approx(np.diag([10 / 12, 10 / 12]))


@pytest.mark.parametrize("settings", [groups.SETTINGS, groups.EASE], ids=["als", "ease"])
def test_a_release_names_the_read_books_that_speak_most(
    settings: ModelSettings, tmp_path: Path
) -> None:
    """With either engine: three read books of the reader's own group, the strongest first, for a book of that group.

    The parts are those of the list's score: all of a reader's read books together add up to it.
    """
    folder = groups.write_day(tmp_path, "2026-02-01", settings=settings)
    train.run(folder, "a test")
    recommend.run(folder, "a test")
    lists = pl.read_parquet(folder.lists, columns=[tables.USER_ID, tables.BOOK_IDS, tables.SCORES])
    user, books, scores = lists.row(0)
    found = explanation.contributions(folder, user, books[0], limit=groups.BOOKS)
    assert {one.book_id % groups.GROUPS for one in found[:3]} == {user % groups.GROUPS}
    assert [one.part for one in found] == sorted((one.part for one in found), reverse=True)
    assert {one.book_id for one in found} <= set(groups.pairs()[groups.pairs()[:, 0] == user, 1])
    # The list's score is rounded to 16 bits: eleven of them are the number.
    assert sum(one.part for one in found) == pytest.approx(scores[0], rel=2e-3)
    assert sum(one.share for one in found) == pytest.approx(1)
