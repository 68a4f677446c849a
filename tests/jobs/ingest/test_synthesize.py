"""Synthetic data: its shape, its order, and that there is something to find in it."""

from pathlib import Path

import polars as pl
import pytest

from jobs.ingest import synthesize
from jobs.runtime.errors import WrongUsage
from tests.harness import landing, small_disk


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


def _with_genre(tmp_path: Path) -> pl.DataFrame:
    """Return ratings with the genre that a book's title names."""
    rows = _make(tmp_path / "a")
    genres = pl.read_csv(tmp_path / "a" / "books.csv").select(
        "book_id", pl.col("title").str.split(",").list.first().alias("genre")
    )
    return rows.join(genres, on="book_id")


def test_users_read_within_few_genres(tmp_path: Path) -> None:
    """A user's most read genre takes four times the sixteenth part that chance would give it."""
    shares = (
        _with_genre(tmp_path)
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


def test_ratings_tell_what_a_user_likes(tmp_path: Path) -> None:
    """A user rates books of the genre read most a quarter of a star higher than the others."""
    rows = _with_genre(tmp_path)
    favourite = (
        rows.group_by("user_id", "genre")
        .len()
        .sort("user_id", "len", "genre", descending=[False, True, False])
        .group_by("user_id", maintain_order=True)
        .first()
        .select("user_id", favourite="genre")
    )
    joined = rows.join(favourite, on="user_id")
    liked = joined.filter(pl.col("genre") == pl.col("favourite"))["rating"].mean()
    others = joined.filter(pl.col("genre") != pl.col("favourite"))["rating"].mean()
    assert float(str(liked)) > float(str(others)) + 0.25


def test_few_books_are_read_by_many(tmp_path: Path) -> None:
    """The most read tenth of the books has more than a third of the ratings, the least read half under a quarter."""
    counts = _make(tmp_path / "a", users=8000)["book_id"].value_counts()["count"]
    by_count = counts.sort(descending=True)
    assert by_count.head(32).sum() > 20_000 / 3
    assert by_count.tail(160).sum() < 20_000 / 4


def test_what_is_read_changes_over_time(tmp_path: Path) -> None:
    """Of the thirty books read most in the last tenth of the rows, a third are not among those of the first tenth."""
    rows = _make(tmp_path / "a")

    def most_read(part: pl.DataFrame) -> set[int]:
        return set(part["book_id"].value_counts().sort("count", "book_id")["book_id"].tail(30))

    assert len(most_read(rows.tail(2000)) - most_read(rows.head(2000))) >= 10


def test_a_synthetic_folder_goes_the_whole_way_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lands as an ordered edition, no row is dropped, and every book has its genre and nothing else."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path / "artifacts"))
    _make(tmp_path / "a")
    landed = landing.replay(capsys, tmp_path / "a").outcome
    assert (landed["edition"], landed["time_ordered"]) == ("current", True)
    outcome = landing.extract(capsys).outcome
    assert (outcome["rows_accepted"], outcome["rejects"]) == (20_000, {})
    cards = landing.table(tmp_path / "artifacts", outcome["release"], "books")
    expected = cards["title"].str.split(",").list.first().str.to_lowercase()
    assert cards["genres"].list.len().to_list() == [1] * 320
    assert cards["genres"].list.first().equals(expected.alias("genres"))


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    """Exit code 2; the folder stays as it was."""
    (tmp_path / "a").mkdir()
    with pytest.raises(WrongUsage, match="exists"):
        _make(tmp_path / "a")
    assert not list((tmp_path / "a").iterdir())


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """Exit code 1, what to do, not even half a folder."""
    place = tmp_path / "disk"
    sizes = ("--users", 900, "--books", 300, "--ratings", 40_000)
    command = (*landing.NIGHTSHELF, "synthesize", "--out", place / "out", *sizes)
    result = small_disk.run(place, 200, *command)
    assert (result.exit_code, result.left) == (1, [])
    assert "the disk is full" in result.text
    assert "Traceback" not in result.text


def test_a_full_table_can_be_made(tmp_path: Path) -> None:
    """Half of all pairs of a tiny table come out, and more is refused."""
    rows = _make(tmp_path / "a", users=6, books=4, ratings=12)
    assert rows.height == 12
    with pytest.raises(WrongUsage, match="more than half"):
        _make(tmp_path / "b", users=6, books=4, ratings=13)
