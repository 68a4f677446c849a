"""Train and recommend on data whose right answer is obvious, and the promises on every list."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jobs.model import settings as model_settings
from jobs.pipeline import recommend, train
from jobs.release.identity import describe
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.errors import BrokenInput
from jobs.runtime.files import sha256, write_json
from jobs.runtime.table_files import write_table
from schemas import tables

Row = tuple[int, int, int]

SMALL = """
[model]
positive_from = 4
factors = 4
iterations = 6
regularization = 20.0
alpha = 11.0
neutral_weight = 0.0
low_weight = 0.0
confidence_half_life_share = 10.0
profile_alpha = 11.0
profile_regularization = 20.0
profile_half_life_books = 50.0
popularity_half_life_share = 0.5
popularity_exponent = 0.0
popularity_floor = 0.001
seed = 1
list_length = 10
similar_length = 5
"""
SMALL_EASE = """
[model]
engine = "ease"
positive_from = 4
regularization = 5.0
neutral_weight = 0.0
low_weight = 0.0
confidence_half_life_share = 10.0
profile_half_life_books = 50.0
popularity_half_life_share = 0.5
popularity_exponent = 0.0
popularity_floor = 0.001
list_length = 10
similar_length = 5
"""
by_each = pytest.mark.parametrize("engine", ["als", "ease"])


def _release(tmp_path: Path, rows: list[Row], books: int, engine: str = "als") -> ReleaseFolder:
    """Write what extract would: `rows` are (user, book, rating) in order of arrival."""
    tmp_path.mkdir(exist_ok=True)
    settings_file = tmp_path / "model.toml"
    settings_file.write_text(SMALL_EASE if engine == "ease" else SMALL)
    settings = model_settings.load(settings_file)
    folder = Artifacts(tmp_path).release("2026-01-01-00000000")
    begun = describe(
        "2026-01-01", (), model_settings.as_mapping(settings), {}, time_ordered=True, drops=tmp_path
    )
    write_json(folder.inputs, begun)
    instants = np.datetime64("2026-01-01", "us") + np.arange(len(rows))
    frame = pl.DataFrame(
        {
            tables.USER_ID: [row[0] for row in rows],
            tables.BOOK_ID: [row[1] for row in rows],
            tables.RATING: [row[2] for row in rows],
            tables.ARRIVED_AT: pl.Series(instants).dt.replace_time_zone("UTC"),
            tables.SOURCE_ROW: np.arange(1, len(rows) + 1),
        }
    )
    write_table(folder.interactions, frame.to_arrow(), tables.INTERACTIONS)
    cards = pl.DataFrame(
        {
            tables.BOOK_ID: range(1, books + 1),
            tables.GOODREADS_BOOK_ID: range(1, books + 1),
            tables.TITLE: [f"Book {n}" for n in range(1, books + 1)],
            tables.AUTHORS: [["A"]] * books,
            tables.YEAR: [2000] * books,
            tables.LANGUAGE: ["eng"] * books,
            tables.GENRES: [["odd"] if n % 2 else ["even"] for n in range(1, books + 1)],
            tables.TO_READ_COUNT: [0] * books,
        }
    )
    write_table(folder.books, cards.to_arrow(), tables.BOOKS)
    return folder


def _two_groups() -> list[Row]:
    """Users 1 to 20 like books 1 to 20, users 21 to 40 books 21 to 40; each has read 14 of their 20."""
    generator = np.random.default_rng(5)
    rows = [
        (user, first + int(place), 5)
        for user in range(1, 41)
        for first in ([1] if user <= 20 else [21])
        for place in generator.permutation(20)[:14]
    ]
    return [rows[place] for place in generator.permutation(len(rows))]


def _lists(folder: ReleaseFolder) -> dict[int, list[int]]:
    table = pl.read_parquet(folder.lists)
    assert table.height, "there is no list"
    return dict(table.select(tables.USER_ID, tables.BOOK_IDS).rows())


@by_each
def test_two_groups_get_their_own_books(engine: str, tmp_path: Path) -> None:
    """The six unread books of a user's group stand before every book of the other group."""
    rows = _two_groups()
    folder = _release(tmp_path, rows, books=40, engine=engine)
    train.run(folder, "test")
    recommend.run(folder, "test")
    for user, books in _lists(folder).items():
        group = set(range(1, 21)) if user <= 20 else set(range(21, 41))
        unread = group - {book for reader, book, _ in rows if reader == user}
        assert set(books[:6]) == unread


@by_each
def test_every_list_keeps_its_promises(engine: str, tmp_path: Path) -> None:
    """No rated book, none twice, scores not ascending, ties by id, short only where the catalogue ran out."""
    rows = _two_groups()
    rows += [(41, book, 5) for book in range(1, 41)]  # has read everything
    rows += [(42, book, 5) for book in range(1, 36)]  # five are left
    rows += [(43, 3, 1), (43, 4, 2)]  # likes nothing
    folder = _release(tmp_path, rows, books=40, engine=engine)
    train.run(folder, "test")
    outcome = recommend.run(folder, "test")
    table = pl.read_parquet(folder.lists)
    assert table[tables.USER_ID].to_list() == list(range(1, 44))
    for user, source, books, scores in table.rows():
        read = {book for reader, book, _ in rows if reader == user}
        assert not read & set(books)
        assert len(set(books)) == len(books) == min(10, 40 - len(read))
        assert sorted(zip([-score for score in scores], books, strict=True)) == list(
            zip([-score for score in scores], books, strict=True)
        )
        assert [float(np.float16(score)) for score in scores] == scores
        assert source == ("popularity" if user == 43 else engine)
    assert outcome.short_lists == 2


def test_the_popularity_list_is_weighted_by_recency(tmp_path: Path) -> None:
    """Worked out by hand: half-life two rows of four, ages 3, 2, 1, 0 weigh 0.35, 0.5, 0.71, 1."""
    rows = [(1, 1, 5), (2, 1, 1), (3, 2, 5), (4, 3, 3)]
    folder = _release(tmp_path, rows, books=3)
    train.run(folder, "test")
    recommend.run(folder, "test")
    (tag, books, scores) = pl.read_parquet(folder.popularity).rows()[0]
    weights = {1: 2 ** (-3 / 2) + 2**-1, 2: 2 ** (-1 / 2), 3: 1.0}
    assert tag == ""
    assert books == [3, 1, 2]
    assert scores == [float(np.float16(weights[book])) for book in books]


@by_each
def test_similar_books_are_of_the_same_group(engine: str, tmp_path: Path) -> None:
    """The five nearest of a book are books of its own group, and never itself."""
    folder = _release(tmp_path, _two_groups(), books=40, engine=engine)
    train.run(folder, "test")
    recommend.run(folder, "test")
    for book, others, _ in pl.read_parquet(folder.similar).rows():
        assert len(others) == 5
        assert book not in others
        assert {other <= 20 for other in others} == {book <= 20}


def test_genres_that_are_large_enough_have_a_list(tmp_path: Path) -> None:
    """Twenty rated books make a list of a genre, which holds books of that genre only."""
    folder = _release(tmp_path, _two_groups(), books=40)
    train.run(folder, "test")
    recommend.run(folder, "test")
    lists = {row[0]: row[1] for row in pl.read_parquet(folder.popularity).rows()}
    assert set(lists) == {"", "even", "odd"}
    assert {book % 2 for book in lists["odd"]} == {1}


@by_each
def test_one_and_two_threads_give_the_same_bytes(engine: str, tmp_path: Path) -> None:
    """Factors and lists of the same input have the same SHA-256 for 1 and for 2 threads."""
    generator = np.random.default_rng(1)
    pairs = {(int(u), int(b)) for u, b in generator.integers(1, 400, (6000, 2))}
    rows = [(user, book, 3 + (user + book) % 3) for user, book in sorted(pairs)]
    digests = []
    for threads in (1, 2):
        folder = _release(tmp_path / str(threads), rows, books=400, engine=engine)
        train.run(folder, "test", threads=threads)
        recommend.run(folder, "test", threads=threads)
        files = (folder.factors, folder.lists, folder.popularity, folder.similar)
        digests.append([sha256(path) for path in files])
    assert digests[0] == digests[1]


def test_a_step_that_has_finished_is_not_done_again(tmp_path: Path) -> None:
    """The second run says so and leaves the files as they are."""
    folder = _release(tmp_path, _two_groups(), books=40)
    first = train.run(folder, "test")
    assert not first.reused
    assert train.run(folder, "test").reused
    recommend.run(folder, "test")
    assert recommend.run(folder, "test").reused


def test_a_step_before_its_turn_says_which_comes_first(tmp_path: Path) -> None:
    """Recommend without factors names train."""
    folder = _release(tmp_path, _two_groups(), books=40)
    with pytest.raises(BrokenInput, match="nightshelf train"):
        recommend.run(folder, "test")
