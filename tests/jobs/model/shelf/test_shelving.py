"""The rules of the shelf, one by one and together, on pools whose lists are worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from jobs.model.metadata import Metadata
from jobs.model.shelf import faults
from jobs.model.shelf import rules as shelf_rules
from jobs.model.shelf.history import Read
from jobs.model.shelf.rules import ShelfRules
from jobs.model.shelf.shelving import shelve
from jobs.runtime.errors import WrongUsage
from tests.jobs.model.catalogue import told

ALL = ShelfRules(**shelf_rules.read(None))
NONE = ShelfRules(
    volumes_in_order=False,
    first_volume_first=False,
    most_of_an_author=0,
    most_of_a_series=0,
    no_box_set_of_a_begun_series=False,
    no_second_edition=False,
)


def _series(*volumes: str) -> list[tuple[str, str]]:
    return [(f"Bar {volume} (Bar, #{volume})", f"Author {volume}") for volume in volumes]


def _others(count: int) -> list[tuple[str, str]]:
    return [(f"Other {number}", f"Somebody {number}") for number in range(count)]


def _listed(
    pool: list[int], read: list[int], books: Metadata, rules: ShelfRules, limit: int = 100
) -> list[int]:
    """Return the list of one user, as items."""
    owned = Read(np.zeros(len(read), dtype=np.int64), np.array(read, dtype=np.int32))
    found = shelve(np.array([pool]), owned, books, rules, limit).items[0]
    return [int(item) for item in found if item >= 0]


def test_without_rules_the_pool_is_the_list() -> None:
    """Nothing moves, nothing is lost, and the list ends at its length."""
    books = told(*_series("1", "2", "3"), *_others(2))
    assert _listed([2, 4, 0, 1], [3], books, NONE) == [2, 4, 0, 1]
    assert _listed([2, 4, 0, 1], [3], books, NONE, limit=2) == [2, 4]


def test_later_volumes_come_in_order_and_take_the_places_of_one_another() -> None:
    """Volume 1 was read; the pool has 4, 2, 3: they keep their places and come as 2, 3, 4."""
    books = told(*_series("1", "2", "3", "4"), *_others(2))
    rules = replace(NONE, volumes_in_order=True)
    assert _listed([3, 4, 1, 5, 2], [0], books, rules) == [1, 4, 2, 5, 3]


def test_a_skipped_volume_does_not_move_but_never_follows_a_higher_one_in_the_first_ten() -> None:
    """Volumes 1 and 3 were read: 2 keeps its place before 4, and waits until the eleventh place behind it."""
    books = told(*_series("1", "2", "3", "4"), *_others(12))
    rules = replace(NONE, volumes_in_order=True)
    others = list(range(4, 16))
    assert _listed([1, 3, *others], [0, 2], books, rules) == [1, 3, *others]
    assert _listed([3, 1, *others], [0, 2], books, rules) == [3, *others[:9], 1, *others[9:]]


def test_a_novella_does_not_block_the_volume_after_it() -> None:
    """Volumes 1 and 2 were read: #2.5 and #3 keep their order of the pool, either way."""
    books = told(*_series("1", "2", "2.5", "3"))
    rules = replace(NONE, volumes_in_order=True)
    assert _listed([3, 2], [0, 1], books, rules) == [3, 2]
    assert _listed([2, 3], [0, 1], books, rules) == [2, 3]


def test_a_later_volume_of_an_unread_series_gives_its_place_to_the_first() -> None:
    """The pool has volume 3 of a series that was not begun: volume 1 stands there, and 3 waits for place eleven."""
    books = told(*_series("1", "2", "3"), *_others(12))
    others = list(range(3, 15))
    rules = replace(NONE, first_volume_first=True, volumes_in_order=True)
    assert _listed([2, *others, 0], [], books, rules)[:11] == [0, *others[:10]]
    # The first volume is brought into a pool that lacks it.
    assert _listed([2, *others], [], books, rules)[:10] == [0, *others[:9]]


def test_a_later_volume_with_an_earlier_one_read_keeps_its_place() -> None:
    """Volume 2 was read, never volume 1: volume 3 is what comes next."""
    books = told(*_series("1", "2", "3"), *_others(1))
    rules = replace(NONE, first_volume_first=True, volumes_in_order=True)
    assert _listed([2, 3], [1], books, rules) == [2, 3]


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        (1, [0, *range(4, 13), 1, 2, 3]),
        (3, [0, 1, 2, *range(4, 11), 3, 11, 12]),
    ],
)
def test_an_author_has_so_many_places_of_the_first_ten(cap: int, expected: list[int]) -> None:
    """Further books of one author wait until the eleventh place, in the order of the pool."""
    books = told(*[(f"By A {number}", "A") for number in range(4)], *_others(9))
    rules = replace(NONE, most_of_an_author=cap)
    assert _listed(list(range(13)), [], books, rules) == expected


def test_a_series_has_so_many_places_of_the_first_ten() -> None:
    """Two volumes, and the third waits."""
    books = told(*_series("1", "2", "3", "4"), *_others(9))
    rules = replace(NONE, most_of_a_series=2)
    others = list(range(4, 13))
    assert _listed([1, 2, 3, *others], [0], books, rules) == [1, 2, *others[:8], 3, others[8]]


def test_where_rules_leave_nothing_the_list_is_filled() -> None:
    """Four books of one author are all there is: no list is short for a rule."""
    books = told(*[(f"By A {number}", "A") for number in range(4)])
    assert _listed([3, 2, 1, 0], [], books, ALL) == [3, 2, 1, 0]


def test_no_box_set_of_a_begun_series_and_no_volume_inside_one_that_was_read() -> None:
    """Volume 1 was read: the box goes. The box of 1 to 3 was read: volume 2 goes, volume 4 stays.

    What goes is not lost to a list that nothing else fills: it stands at its end.
    """
    books = told(*_series("1", "2", "4"), ("Bar Box Set (Bar, #1-3)", "A"), *_others(1))
    rules = replace(NONE, no_box_set_of_a_begun_series=True)
    assert _listed([3, 4, 1], [0], books, rules) == [4, 1, 3]
    assert _listed([3, 4, 1], [0], books, rules, limit=2) == [4, 1]
    assert _listed([1, 2, 4], [3], books, rules) == [2, 4, 1]
    assert _listed([3, 4], [], books, rules) == [3, 4]


def test_no_second_edition_of_what_was_read_or_stands_earlier() -> None:
    """Of two editions the better placed one stays; of one that was read none, but at the end of a list to fill."""
    books = told(("Same", "A"), ("SAME", "A"), ("Other", "B"))
    rules = replace(NONE, no_second_edition=True)
    assert _listed([1, 2, 0], [], books, rules, limit=2) == [1, 2]
    assert _listed([1, 2, 0], [], books, rules) == [1, 2, 0]
    assert _listed([1, 2], [0], books, rules) == [2, 1]


def test_arabic_titles_of_one_author_are_different_books() -> None:
    """Letters of every script count."""
    books = told(("رجال في الشمس", "غسان كنفاني"), ("عائد إلى حيفا", "غسان كنفاني"))
    assert _listed([0, 1], [], books, ALL) == [0, 1]


def test_a_catalogue_without_authors_and_series_keeps_its_pool() -> None:
    """No card says anything: no rule has anything to hold back."""
    books = told(*[(f"Thing {number}", None) for number in range(12)])
    pool = list(range(11, 0, -1))
    assert _listed(pool, [0], books, ALL) == pool


def test_users_of_a_block_do_not_meet() -> None:
    """What one user has read holds nothing back from another; a pool may be shorter than its neighbour's."""
    books = told(*_series("1", "2", "3"), *_others(2))
    pool = np.array([[2, 1, 3], [2, 3, -1]])
    read = Read(np.array([0, 1]), np.array([0, 4], dtype=np.int32))
    found = shelve(pool, read, books, ALL, 3).items.tolist()
    assert found == [[1, 2, 3], [0, 3, -1]]


def test_lists_by_the_rules_have_no_faults_where_there_is_a_choice() -> None:
    """Random pools of a catalogue with series, box sets and editions: what is counted afterwards is nothing."""
    generator = np.random.default_rng(5)
    many = [
        (f"Tale {series} {volume} (Tale {series}, #{volume})", f"A{series % 2}")
        for series in range(20)
        for volume in (1, 2, 3, 4)
    ]
    boxes = [(f"Box {series} (Tale {series}, #1-3)", f"A{series % 2}") for series in range(8)]
    again = [(title.upper(), author) for title, author in _others(40)]
    books = told(*many, *boxes, *_others(60), *again)
    pool = np.array([generator.permutation(len(books.author))[:100] for _ in range(200)])
    row = np.repeat(np.arange(200), 10)
    read = Read(row, generator.integers(0, len(books.author), 2000).astype(np.int32))
    kept = [[i for i in one if i not in set(read.item[row == n])] for n, one in enumerate(pool)]
    pool = np.array([one + [-1] * (100 - len(one)) for one in kept])
    before = faults.count(pool[:, :10], read, books, ALL)
    after = faults.count(shelve(pool, read, books, ALL, 100).items[:, :10], read, books, ALL)
    assert all(values.any() for values in before.by_rule.values())
    assert not any(values.any() for values in after.by_rule.values())
    assert after.unread_later_share == 0 < before.unread_later_share


@pytest.mark.parametrize(
    ("change", "told_"),
    [
        ({"alphabetical": True}, "missing or unknown shelf rules: alphabetical"),
        ({"most_of_an_author": -1}, "most_of_an_author = -1 is not a whole number from 0 on"),
        ({"most_of_an_author": True}, "most_of_an_author = True is not a whole number"),
        ({"volumes_in_order": 1}, "volumes_in_order = 1 is not true or false"),
    ],
)
def test_rules_that_nobody_knows_are_refused(change: dict[str, object], told_: str) -> None:
    """The error names the rule and the file."""
    with pytest.raises(WrongUsage, match=rf"{told_}[\s\S]*rules\.toml"):
        shelf_rules.from_mapping({**shelf_rules.read(None), **change}, "rules.toml")
