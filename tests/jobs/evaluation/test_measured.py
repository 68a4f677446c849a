"""Metrics of several rankings: worked out by hand on a few lists."""

import numpy as np
import pytest

from jobs.evaluation import churn, measured, metrics, ranking, rolling_origin, slices
from jobs.evaluation.bootstrap import Resampling, multiplicities
from jobs.evaluation.ranked import NO_BOOK, Ranked
from tests.jobs.evaluation import groups

HOW = Resampling(200, 0.95, 1)


def _matrix(*rows: list[int]) -> np.ndarray:
    return np.array(rows, dtype=np.int32)


def test_overlap_of_equal_and_of_disjoint_lists() -> None:
    """Equal lists overlap by 1, lists without a common book by 0."""
    found = churn.rank_biased_overlap(_matrix([1, 2, 3], [1, 2, 3]), _matrix([1, 2, 3], [4, 5, 6]))
    assert found == pytest.approx([1, 0])


def test_gaps_are_no_common_books() -> None:
    """Two lists that have only empty places in common do not overlap."""
    found = churn.rank_biased_overlap(_matrix([1, NO_BOOK]), _matrix([2, NO_BOOK]))
    assert found == pytest.approx([0])


def test_overlap_weighs_early_places_more() -> None:
    """With two places and p = 0.9: swapped lists agree by 0 and 1, weights 1 and 0.9: 0.9 / 1.9."""
    found = churn.rank_biased_overlap(_matrix([1, 2]), _matrix([2, 1]))
    assert found == pytest.approx([0.9 / 1.9])


def test_gini_of_equal_and_of_single_exposure() -> None:
    """Equal counts give 0; all exposure on one of four books gives (n - 1) / n."""
    assert metrics.gini(np.array([3, 3, 3, 3])) == pytest.approx(0)
    assert metrics.gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)


def test_broken_lists_are_counted_by_kind() -> None:
    """One list is short, one repeats a book, one holds a read one."""
    lists = _matrix([1, 2, NO_BOOK], [1, 1, 2], [1, 2, 3], [4, 5, 6])
    users = np.array([1, 2, 3, 4], dtype=np.int32)
    read = slices.pack(np.array([3]), np.array([2]))
    assert metrics.broken(lists, users, read, 3) == {"short": 1, "repeats": 1, "read": 1}


def test_every_resample_draws_as_many_users_as_there_are() -> None:
    """Multiplicities of each sample add up to the number of users."""
    drawn = np.concatenate(list(multiplicities(17, HOW)))
    assert drawn.shape == (200, 17)
    assert (drawn.sum(axis=1) == 17).all()


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> list[slices.Slice]:
    """Two cuts of the grouped readers."""
    folder = groups.write_day(tmp_path_factory.mktemp("artifacts"), "2026-02-01")
    return rolling_origin.cuts_at(rolling_origin.rows_of(folder), (0.8, 0.9), 4, 0.02)


def _oracle(cut: slices.Slice) -> Ranked:
    """List for every user what the slice holds of them, and nothing else."""
    users = np.unique((cut.relevant >> 32).astype(np.int32))
    lists = np.full((len(users), measured.DEPTH), NO_BOOK, dtype=np.int32)
    for place, user in enumerate(users):
        books = (cut.relevant[cut.relevant >> 32 == user] & 0xFFFFFFFF)[: measured.DEPTH]
        lists[place, : len(books)] = books
    return Ranked(users, lists, np.full(measured.DEPTH, NO_BOOK, dtype=np.int32))


def test_a_perfect_ranking_scores_one(cuts: list[slices.Slice]) -> None:
    """A list of exactly what is read next has NDCG, recall and reciprocal rank 1 for every case."""
    found = measured.measure(cuts, [_oracle(cut) for cut in cuts], 0.05)
    for name in measured.PER_CASE:
        assert found.per_case[name] == pytest.approx(1)


def test_history_bands_hold_every_case_once(cuts: list[slices.Slice]) -> None:
    """The cases by length of history add up to all cases."""
    found = measured.measure(cuts, [_oracle(cut) for cut in cuts], 0.05)
    described = measured.described({"oracle": found}, "oracle", HOW)["oracle"]
    bands = described["by_history"].values()
    assert sum(band["cases"] for band in bands) == sum(len(cut.case_ids) for cut in cuts)


def test_nothing_after_a_cut_is_in_its_history(cuts: list[slices.Slice]) -> None:
    """The history of a cut is the first rows, and its relevant books are of the rows right after."""
    for cut, share in zip(cuts, (0.8, 0.9), strict=True):
        before = round(groups.ROWS * share)
        after = groups.pairs()[before : before + round(groups.ROWS * 0.02)]
        assert cut.history.num_rows == before
        assert set(cut.relevant.tolist()) == set(slices.pack(after[:, 0], after[:, 1]).tolist())
        assert not set(cut.read.tolist()) & set(cut.relevant.tolist())


def test_a_ranking_less_itself_is_nothing(cuts: list[slices.Slice]) -> None:
    """Every paired difference of a ranking from a copy of itself is 0 with no width."""
    lists = [
        ranking.by_popularity(ranking.history(cut.history, cut.catalogue), np.inf, measured.DEPTH)
        for cut in cuts
    ]
    one = measured.measure(cuts, lists, 0.05)
    less = measured.described({"one": one, "copy": one}, "one", HOW)["copy"]["less"]
    for name in (*measured.PER_CASE, *measured.PER_LIST, *measured.EXPOSURE):
        assert set(less[name]["absolute"].values()) == {0.0}, name
