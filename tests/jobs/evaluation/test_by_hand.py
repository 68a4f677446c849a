"""Metrics and bands of one small slice, every expected number worked out by hand."""

import numpy as np
import pytest

from jobs.evaluation import measured, slices
from jobs.evaluation.bootstrap import Resampling
from jobs.evaluation.ranked import NO_BOOK, Ranked
from jobs.evaluation.slices import Slice
from schemas import tables

HOW = Resampling(200, 0.95, 1)
NOTHING = np.full(measured.DEPTH, NO_BOOK, dtype=np.int32)


def _ids(values: list[int] | range) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def _slice(
    relevant: list[tuple[int, int]], lengths: dict[int, int], counts: dict[int, int], books: int
) -> Slice:
    """Return a slice of `books` books; pairs to find, ratings before by user, ratings before by book."""
    users, wanted = np.array(relevant).T
    return Slice(
        history=tables.INTERACTIONS.empty_table(),
        rows=len(relevant),
        relevant=np.sort(slices.pack(users, wanted)),
        case_ids=_ids(sorted(lengths)),
        history_lengths=np.array([lengths[user] for user in sorted(lengths)]),
        book_ids=_ids(sorted(counts)),
        book_counts=np.array([counts[book] for book in sorted(counts)]),
        known_users=8,
        catalogue=_ids(range(1, books + 1)),
        read=np.empty(0, dtype=np.int64),
    )


def _ranked(lists: dict[int, list[int]]) -> Ranked:
    found = np.full((len(lists), measured.DEPTH), NO_BOOK, dtype=np.int32)
    for row, user in enumerate(sorted(lists)):
        found[row, : len(lists[user])] = lists[user]
    return Ranked(_ids(sorted(lists)), found, NOTHING)


def test_novelty_popularity_tail_coverage_and_gini() -> None:
    """Of 8 known users 8, 4, 2 and 1 have rated books 1 to 4: 0, 1, 2 and 3 bits; book 5, of nobody, counts as 1.

    Lists [1, 2], [3, 4] and [5]: novelty 0.5, 2.5 and 3; mean popularity 6, 1.5 and 0. With a head of a fifth of the
    books (book 1) the tail shares are 1/2, 1 and 1. Every book is shown once: coverage 1, Gini 0.
    """
    cut = _slice([(1, 2)], {1: 3}, {1: 8, 2: 4, 3: 2, 4: 1}, books=5)
    found = measured.measure([cut], [_ranked({1: [1, 2], 2: [3, 4], 3: [5]})], head_share=0.2)
    assert found.per_list["novelty_at_10_bits"] == pytest.approx([0.5, 2.5, 3])
    assert found.per_list["mean_popularity_at_10"] == pytest.approx([6, 1.5, 0])
    assert found.per_list["tail_share_at_10"] == pytest.approx([0.5, 1, 1])
    assert measured.exposure_of(found) == pytest.approx({"coverage_at_10": 1, "gini_at_10": 0})


def test_gini_of_uneven_exposure() -> None:
    """Books shown 2, 1, 1 and 0 times: (-3 * 0 - 1 * 1 + 1 * 1 + 3 * 2) / (4 * 4) = 0.375, coverage 3/4."""
    cut = _slice([(1, 2)], {1: 3}, {1: 8}, books=4)
    found = measured.measure([cut], [_ranked({1: [1, 2], 2: [1, 3]})], head_share=0.2)
    assert measured.exposure_of(found) == pytest.approx(
        {"coverage_at_10": 0.75, "gini_at_10": 0.375}
    )


def test_only_the_first_ten_places_are_exposure() -> None:
    """Of a list of all twelve books ten are shown, and the mean popularity is theirs: (12 + ... + 3) / 10."""
    counts = {book: 13 - book for book in range(1, 13)}
    cut = _slice([(1, 2)], {1: 3}, counts, books=12)
    found = measured.measure([cut], [_ranked({1: list(range(1, 13))})], head_share=0.2)
    assert measured.exposure_of(found)["coverage_at_10"] == pytest.approx(10 / 12)
    assert found.per_list["mean_popularity_at_10"] == pytest.approx([7.5])


def test_bands_of_books_by_their_place_in_the_order_of_ratings() -> None:
    """Of 20 rated books the first is the head, the next three the middle, sixteen the tail; the 21st is new.

    Each of six readers looks for one book at a border, and gets books 1, 2, 3 and 21.
    """
    counts = {book: 100 - book for book in range(1, 21)}
    wanted = dict(enumerate([1, 2, 4, 5, 20, 21], start=1))
    cut = _slice(list(wanted.items()), dict.fromkeys(wanted, 3), counts, books=21)
    lists = _ranked({user: [1, 2, 3, 21] for user in wanted})
    one = measured.measure([cut], [lists], 0.05)
    none = measured.measure([cut], [_ranked({user: [3] for user in wanted})], 0.05)
    found = measured.described({"one": one, "none": none}, "one", HOW)
    bands = found["one"]["by_popularity"]
    text = {name: (band["cases"], band["recall_at_20"]["value"]) for name, band in bands.items()}
    assert text == {"head": (1, 1.0), "middle": (2, 0.5), "tail": (2, 0.0), "new": (1, 1.0)}
    less = found["none"]["less"]["by_popularity"]
    assert less["middle"]["recall_at_20"]["absolute"]["value"] == 0.5
    assert less["tail"]["recall_at_20"]["absolute"]["value"] == 0.0


def test_bands_of_readers_by_their_ratings_before() -> None:
    """Nine readers at the borders 0, 1, 4, 5, 19, 20, 99, 100 and 5000; those of 4, 19, 99 and 5000 find it second.

    A hit at the second place is worth 1 / log2(3) = 0.6309 in NDCG and 1/2 in reciprocal rank.
    """
    lengths = dict(enumerate([0, 1, 4, 5, 19, 20, 99, 100, 5000], start=1))
    cut = _slice([(user, 1) for user in lengths], lengths, {1: 5, 2: 4}, books=2)
    second = {3, 5, 7, 9}
    lists = _ranked({user: [2, 1] if user in second else [2] for user in lengths})
    one = measured.measure([cut], [lists], 0.05)
    none = measured.measure([cut], [_ranked({user: [2] for user in lengths})], 0.05)
    found = measured.described({"one": one, "none": none}, "one", HOW)
    bands = found["one"]["by_history"]
    assert {name: band["cases"] for name, band in bands.items()} == {
        "0": 1, "1-4": 2, "5-19": 2, "20-99": 2, "100+": 2,
    }  # fmt: skip
    half = 1 / np.log2(3) / 2
    for name, worth in {"0": 0, "1-4": 1, "5-19": 1, "20-99": 1, "100+": 1}.items():
        assert bands[name]["ndcg_at_10"]["value"] == pytest.approx(worth * half)
        assert bands[name]["mrr"]["value"] == pytest.approx(worth * 0.25)
        assert bands[name]["recall_at_20"]["value"] == pytest.approx(worth * 0.5)
        less = found["none"]["less"]["by_history"][name]["ndcg_at_10"]["absolute"]
        assert less["value"] == pytest.approx(worth * half)


def test_a_band_without_a_case_says_so() -> None:
    """Nobody has 100 ratings, nothing new is read: no number is made up."""
    cut = _slice([(1, 2)], {1: 3}, {1: 8, 2: 4}, books=2)
    one = measured.measure([cut], [_ranked({1: [2]})], 0.05)
    found = measured.described({"one": one, "copy": one}, "one", HOW)
    nothing = {"cases": 0, "ndcg_at_10": None, "recall_at_20": None, "mrr": None}
    assert found["one"]["by_history"]["100+"] == nothing
    assert found["copy"]["less"]["by_history"]["100+"]["ndcg_at_10"] is None
    assert found["one"]["by_popularity"]["new"] == {"cases": 0, "recall_at_20": None}
