"""The baselines are what they are called: compared with their definitions on a small set."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from jobs.evaluation import ranking, rolling_origin, search
from jobs.evaluation.ranked import NO_BOOK
from tests.jobs.evaluation import groups
from tests.research import goals, tuning
from tests.research.baselines import ease, item_knn
from tests.research.tuning import TUNED, ranker


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> ranking.History:
    """Readers of one of six groups of books."""
    folder = groups.write_day(tmp_path_factory.mktemp("artifacts"), "2026-02-01")
    rows = rolling_origin.rows_of(folder)
    return ranking.history(rows.interactions, rows.catalogue)


def _middle(name: str) -> dict[str, float]:
    return {key: float(np.sqrt(one.low * one.high)) for key, one in TUNED[name].space.items()}


@pytest.mark.parametrize("name", TUNED)
def test_lists_are_whole(name: str, past: ranking.History) -> None:
    """Every reader gets as many different unread books as any other ranking gives."""
    lists = ranker(name, _middle(name))(past)
    assert lists.user_ids.tolist() == past.users.values.tolist()
    rated = past.rated.toarray() > 0
    for row, listed in enumerate(lists.book_ids):
        shown = listed[listed != NO_BOOK]
        assert len(shown) == min(100, groups.BOOKS - rated[row].sum())
        assert len(set(shown.tolist())) == len(shown)
        assert not rated[row, past.books.positions(shown)].any()


@pytest.mark.parametrize("name", ["plain_als", "plain_ease", "plain_item_knn"])
def test_readers_get_books_of_their_group(name: str, past: ranking.History) -> None:
    """A reader's unread books of their own group come first; lists of chance would hold a sixth of them."""
    lists = ranker(name, _middle(name))(past)
    same = lists.book_ids[:, :5] % groups.GROUPS == lists.user_ids[:, None] % groups.GROUPS
    assert same.mean() > 0.95


def test_the_engine_ease_and_the_baseline_give_the_same_lists(past: ranking.History) -> None:
    """Two implementations, in the space of books with all weights and in that of users without: the same top 10s."""
    space = search.SPACES["ease"]
    values = {key: float(np.sqrt(one.low * one.high)) for key, one in space.items()}
    settings = replace(tuning.EASE, **values)  # type: ignore[arg-type]
    ours = ranking.by_model(past, settings, 100).book_ids[:, :10]
    theirs = ease.ease(past, values).book_ids[:, :10]
    common = [len(np.intersect1d(one, other)) for one, other in zip(ours, theirs, strict=True)]
    # Scores are rounded differently, so a tie at the tenth place may fall either way.
    assert np.mean(common) > 9.9
    assert (ours[:, 0] == theirs[:, 0]).mean() > 0.98


def test_ease_is_the_inverse_of_the_gram_matrix_of_books() -> None:
    """B = I - P / diag(P) with P = (X'X + lambda I)^-1 (Steck 2019), here solved in the space of users."""
    dense = np.random.default_rng(1).random((12, 20)) * (
        np.random.default_rng(2).random((12, 20)) > 0.6
    )
    inverse, diagonal = ease.inverse(sp.csr_matrix(dense), 3.0)
    direct = np.linalg.inv(dense.T @ dense + 3.0 * np.eye(20))
    assert diagonal == pytest.approx(np.diag(direct), rel=1e-5)
    assert (np.eye(20) - dense.T @ inverse @ dense) / 3.0 == pytest.approx(direct, abs=1e-5)


def test_neighbours_are_the_most_similar_books() -> None:
    """Of three books the one with the greater common weight by the roots of both totals is the nearest."""
    # Book 0 has weight 2, book 1 weight 1, book 2 weight 2; 0 and 1 share a reader, 0 and 2 share both of theirs.
    matrix = sp.csr_matrix(np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]]))
    found = item_knn.neighbours(matrix, 1, 0.0, 0.5).toarray()
    expected = np.zeros((3, 3))
    expected[2, 0] = expected[0, 2] = 2 / 2  # the nearest of 0 is 2 and of 2 is 0: 2 / sqrt(2 * 2)
    expected[0, 1] = 1 / np.sqrt(2)  # the nearest of 1 is 0 or 2, alike: 1 / sqrt(1 * 2)
    expected[2, 1] = 0
    if found[0, 1] == 0:
        expected[[0, 2], 1] = expected[[2, 0], 1]
    assert found == pytest.approx(expected)


def test_every_ranking_of_the_goals_table_has_its_settings() -> None:
    """The kept trials name the best of each that is tuned, so that `make backtest` begins at once."""
    assert set(goals.rankings()) == {*TUNED, "als", "ease"}
