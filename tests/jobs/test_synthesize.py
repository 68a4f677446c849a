"""Synthetic data: its shape, its order, and that there is something to find in it."""

from pathlib import Path

import polars as pl
import pytest

from jobs import synthesize
from jobs.runtime.errors import WrongUsage


def _make(folder: Path, **sizes: int) -> pl.DataFrame:
    synthesize.run(folder, **{"users": 400, "books": 320, "ratings": 20_000, "seed": 3, **sizes})
    return pl.read_csv(folder / "ratings.csv")


def test_the_numbers_are_those_asked_for(tmp_path: Path) -> None:
    """So many rows, no pair twice, ids and ratings within their ranges."""
    rows = _make(tmp_path / "a")
    assert rows.height == 20_000
    assert rows.select("user_id", "book_id").is_unique().all()
    assert rows["user_id"].is_between(1, 400).all()
    assert rows["book_id"].is_between(1, 320).all()
    assert rows["rating"].is_between(1, 5).all()


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Equal for equal seeds, other for another."""
    _make(tmp_path / "a")
    _make(tmp_path / "b")
    _make(tmp_path / "c", seed=4)
    first, again, other = ((tmp_path / name / "ratings.csv").read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_users_read_within_few_genres(tmp_path: Path) -> None:
    """A user's most read genre takes four times the sixteenth part that chance would give it."""
    rows = _make(tmp_path / "a")
    genres = pl.read_csv(tmp_path / "a" / "books.csv").select(
        "book_id", pl.col("title").str.split(",").list.first().alias("genre")
    )
    shares = (
        rows.join(genres, on="book_id")
        .group_by("user_id", "genre")
        .len()
        .group_by("user_id")
        .agg((pl.col("len").max() / pl.col("len").sum()).alias("share"))
    )
    assert float(str(shares["share"].mean())) > 0.25


def test_books_that_appear_late_are_read_late(tmp_path: Path) -> None:
    """A book of the newest years has no rating in the first half of the rows."""
    rows = _make(tmp_path / "a").with_row_index("row")
    books = pl.read_csv(tmp_path / "a" / "books.csv")
    late = books.filter(pl.col("original_publication_year") >= 1950 + 45)["book_id"]
    first_half = rows.filter(pl.col("row") < 10_000)
    assert len(late) > 5
    assert first_half.filter(pl.col("book_id").is_in(late.implode())).is_empty()


def test_a_full_table_can_be_made(tmp_path: Path) -> None:
    """Half of all pairs of a tiny table come out, and more is refused."""
    rows = _make(tmp_path / "a", users=6, books=4, ratings=12)
    assert rows.height == 12
    with pytest.raises(WrongUsage, match="more than half"):
        _make(tmp_path / "b", users=6, books=4, ratings=13)
