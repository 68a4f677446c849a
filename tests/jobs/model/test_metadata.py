"""What cards say of books, as numbers; each expectation is read off the titles by hand."""

import numpy as np

from jobs.model import metadata
from jobs.model.metadata import NONE
from tests.jobs.model.catalogue import cards, told


def test_series_volumes_and_first_volume() -> None:
    """Two books of one series share a number; the first whole volume from 1 on is the series' first."""
    found = told(
        ("Bar One (Bar, #1)", "A"), ("Bar Half (Bar, #0.5)", "A"), ("Bar Two (Bar, #2)", "A"), ("Alone", "B")
    )  # fmt: skip
    assert found.series[0] == found.series[1] == found.series[2] != NONE
    assert found.series[3] == NONE
    assert found.volume[:3].tolist() == [1, 0.5, 2]
    assert np.isnan(found.volume[3])
    assert found.first[:3].tolist() == [1, 1, 1]
    assert found.whole.tolist() == [True, False, True, False]
    assert metadata.first_items(found).tolist() == [0]


def test_the_lowest_volume_there_is_counts_as_the_first() -> None:
    """A catalogue that begins with volume 3 has its first volume there."""
    found = told(("Bar Four (Bar, #4)", "A"), ("Bar Three (Bar, #3)", "A"))
    assert found.first.tolist() == [3, 3]
    assert metadata.first_items(found).tolist() == [1]


def test_a_box_set_is_no_volume() -> None:
    """It holds a range, and is not whole."""
    found = told(("Bar Box Set (Bar, #1-3)", "A"))
    assert found.box_set.tolist() == [True]
    assert (found.volume[0], found.last[0]) == (1, 3)
    assert not found.whole[0]


def test_editions_are_one_book_unless_they_name_different_volumes() -> None:
    """The same title by the same author is one book; volumes that share a name are not."""
    found = told(
        ("Same", "A"), ("same", "A"), ("Same", "B"),
        ("Air (Promise, #1)", "C"), ("Air (Promise, #2)", "C"),
    )  # fmt: skip
    assert found.edition[0] == found.edition[1] != found.edition[2]
    assert found.edition[3] != found.edition[4]


def test_cards_without_anything_say_nothing() -> None:
    """No author, series or genre: numbers that say none, and matrices without columns."""
    found = metadata.of_cards(cards([("One", None), ("Two", None)], genre=""))
    assert found.author.tolist() == [NONE, NONE]
    assert found.series.tolist() == [NONE, NONE]
    assert found.genres.shape == (2, 0)
    assert not len(metadata.first_items(found))


def test_a_catalogue_without_books_is_no_error() -> None:
    """Every array is empty."""
    found = metadata.of_cards(cards([]))
    assert not len(found.author)
    assert found.genres.shape[0] == 0
