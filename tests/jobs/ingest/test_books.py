"""Book cards: columns of both editions, curated genres, wishes."""

import logging
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.ingest import books
from jobs.runtime.errors import BrokenInput

HEADER = "book_id,goodreads_book_id,authors,original_publication_year,title,language_code\n"
DAY = "2026-01-04"
SHELVES = {"to-read", "favorites", "owned-books", "currently-reading", "books-i-own", "default"}


def _catalogue(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    return folder


def _cards(folder: Path) -> dict[int, dict[str, Any]]:
    return {card["book_id"]: card for card in books.read(folder, DAY).cards.to_dicts()}


def test_a_card_of_the_current_edition(tmp_path: Path) -> None:
    """Authors are split, the year is a whole number, cards come in order of their id."""
    rows = (
        '2,3,"J.K. Rowling, Mary GrandPré",1997.0,"Harry Potter (Harry Potter, #1)",eng\n'
        "1,9,Homer,-750.0,The Iliad,\n"
    )
    cards = books.read(_catalogue(tmp_path, books=HEADER + rows), DAY).cards.to_dicts()
    assert cards == [
        {
            "book_id": 1,
            "goodreads_book_id": 9,
            "title": "The Iliad",
            "authors": ["Homer"],
            "year": -750,
            "language": None,
            "genres": [],
            "to_read_count": 0,
        },
        {
            "book_id": 2,
            "goodreads_book_id": 3,
            "title": "Harry Potter (Harry Potter, #1)",
            "authors": ["J.K. Rowling", "Mary GrandPré"],
            "year": 1997,
            "language": "eng",
            "genres": [],
            "to_read_count": 0,
        },
    ]


def test_the_old_header_is_recognised(tmp_path: Path) -> None:
    """`id` is what ratings call book_id, and `book_id` is Goodreads' own number."""
    header = "title,id,book_id,authors,original_publication_year\n"
    folder = _catalogue(tmp_path, books=f"{header}Dune,7,234225,Frank Herbert,1965\n")
    card = _cards(folder)[7]
    assert (card["goodreads_book_id"], card["title"], card["year"]) == (234225, "Dune", 1965)


def test_every_card_has_a_title(tmp_path: Path) -> None:
    """A book without title, author or year is named by its id."""
    card = _cards(_catalogue(tmp_path, books=HEADER + "4,,,,  ,\n"))[4]
    assert (card["title"], card["authors"], card["year"]) == ("Book 4", [], None)


@pytest.mark.parametrize(
    "rows",
    ["1,1,A,1,T,\n1,2,A,1,T,\n", "x,1,A,1,T,\n", ",1,A,1,T,\n", "0,1,A,1,T,\n"],
    ids=["repeated", "text", "empty", "zero"],
)
def test_ids_that_cannot_be_used_are_refused(tmp_path: Path, rows: str) -> None:
    """They stop the run: a rating could mean any book."""
    with pytest.raises(BrokenInput, match=r"1 books without a valid id|1 ids that come again"):
        books.read(_catalogue(tmp_path, books=HEADER + rows), DAY)


def test_genres_are_curated_tags_the_most_used_first(tmp_path: Path) -> None:
    """Synonyms add up, shelf names and negative counts do not count, rare genres are left out.

    science-fiction 30 + sci-fi 40 = 70, fantasy 60, dystopian 10 (dystopia), horror -5, romance 6 (under a tenth).
    """
    folder = _catalogue(
        tmp_path,
        books=HEADER + "1,500,A,1,One,\n2,501,A,1,Two,\n",
        tags="tag_id,tag_name\n1,to-read\n2,sci-fi\n3,science-fiction\n4,fantasy\n5,dystopian\n"
        "6,horror\n7,romance\n",
        book_tags="goodreads_book_id,tag_id,count\n500,1,9999\n500,2,40\n500,3,30\n500,4,60\n"
        "500,5,10\n500,6,-5\n500,7,6\n501,1,50\n999,4,50\n",
    )
    cards = _cards(folder)
    assert cards[1]["genres"] == ["science-fiction", "fantasy", "dystopia"]
    assert cards[2]["genres"] == []


def test_floats_spaces_and_capitals_make_no_difference(tmp_path: Path) -> None:
    """In every numeric column, header and tag name of every file."""
    folder = _catalogue(
        tmp_path,
        books=HEADER.title().replace(",", " , ") + "1.0, 500.0,A,1 ,One,\n",
        tags="TAG_ID,Tag_Name\n4.0, Fantasy\n",
        book_tags="Goodreads_Book_ID,tag_id , count\n500.0, 4 ,60.0\n",
        to_read="user_id, BOOK_ID\n8.0,1.00\n",
    )
    found = books.read(folder, DAY)
    card = found.cards.to_dicts()[0]
    assert (card["book_id"], card["goodreads_book_id"], card["year"]) == (1, 500, 1)
    assert (card["genres"], card["to_read_count"]) == (["fantasy"], 1)
    assert found.to_read.rows() == [(8, 1)]


def test_files_without_rows_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Cards without genres, and why."""
    _catalogue(
        tmp_path,
        books=HEADER + "1,500,A,1,One,\n",
        tags="tag_id,tag_name\n",
        book_tags="goodreads_book_id,tag_id,count\n500,4,60\n",
        to_read="user_id,book_id",
    )
    assert _cards(tmp_path)[1]["genres"] == []
    text = " ".join(caplog.messages)
    assert "has a header and no rows: no card has genres" in text
    assert "has a header and no rows: nobody wishes to read a book" in text


def test_cleared_cells_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By column, in one line."""
    rows = "1,500,A,9999,One,\n2,501,A,MM,,\n"
    found = books.read(_catalogue(tmp_path, books=HEADER + rows), DAY)
    assert found.cleared == {"title": 1, "year": 2}
    assert [line.rpartition(": ")[2] for line in caplog.messages if "shown" in line] == [
        "1 of title, 2 of year"
    ]


def test_no_tag_means_two_genres() -> None:
    """Each tag name stands once in the list, and no shelf name stands in it."""
    genres = tomllib.loads(books.GENRES_FILE.read_text(encoding="utf-8"))["genres"]
    tags = [tag for genre, synonyms in genres.items() for tag in [genre, *synonyms]]
    assert len(tags) == len(set(tags))
    assert not SHELVES & set(tags)


def test_missing_optional_files_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Cards without genres and no wishes, and a line for each missing file."""
    with caplog.at_level(logging.WARNING):
        found = books.read(_catalogue(tmp_path, books=HEADER + "1,500,A,1,One,\n"), DAY)
    assert found.to_read.is_empty()
    assert [line.split(" in ")[0] for line in caplog.messages] == [
        "no tags.csv",
        "no book_tags.csv",
        "no to_read.csv",
    ]


def test_wishes_name_known_books_once(tmp_path: Path) -> None:
    """Two of six rows stay: one repeats, one names no known book, one no user, one is no number."""
    found = books.read(
        _catalogue(
            tmp_path,
            books=HEADER + "1,500,A,1,One,\n2,501,A,1,Two,\n",
            to_read="user_id,book_id\n8,2\n3,2\n8,2\n8,77\n,1\nx,1\n",
        ),
        DAY,
    )
    assert found.to_read.rows() == [(3, 2), (8, 2)]
    assert found.to_read_dropped == 4
    assert found.cards["to_read_count"].to_list() == [0, 2]


def test_the_real_catalogue(goodbooks: Path) -> None:
    """Nearly every real book has a genre, and those of The Hobbit and 1984 are no surprise."""
    found = books.read(goodbooks, DAY)
    titles = pl.read_csv(goodbooks / "books.csv", infer_schema=False)
    assert found.cards.height == titles.height
    assert (found.cards["title"].str.len_chars() > 0).all()
    assert float(str((found.cards["genres"].list.len() > 0).mean())) > 0.95
    cards = {card["book_id"]: card for card in found.cards.to_dicts()}
    assert cards[7]["genres"][0] == "fantasy"
    assert {"science-fiction", "dystopia"} <= set(cards[13]["genres"])
    assert not any(SHELVES & set(card["genres"]) for card in cards.values())
