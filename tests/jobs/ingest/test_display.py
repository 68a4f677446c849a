"""Columns that are only shown: what is cleared, and what counts."""

import polars as pl
import pytest

from jobs.ingest.display import clean

COLUMNS = ("title", "authors", "original_publication_year", "language_code")


def _cleared(*rows: tuple[str | None, ...]) -> tuple[list[tuple[object, ...]], dict[str, int]]:
    raw = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")
    ids = pl.Series(range(1, len(rows) + 1), dtype=pl.Int32)
    found = clean(raw, ids, -800, 2028)
    return found.cards.select("title", "authors", "year", "language").rows(), found.cleared


@pytest.mark.parametrize(
    ("written", "year"),
    [
        ("1997.0", 1997),
        (" 1997 ", 1997),
        ("-800", -800),
        ("0.0", 0),
        ("2028", 2028),
        ("2029", None),
        ("9999.0", None),
        ("-801", None),
        ("MCMXCIX", None),
        ("1999-05-01", None),
        ("1997.5", None),
        ("inf", None),
        ("1e30", None),
        ("99999999999999999999", None),
    ],
)
def test_a_year_is_a_whole_number_within_bounds(written: str, year: int | None) -> None:
    """Every other year is left out and counted, and its book stays."""
    rows, cleared = _cleared(("T", "A", written, "eng"))
    assert rows == [("T", ["A"], year, "eng")]
    assert cleared == ({} if year is not None else {"year": 1})


@pytest.mark.parametrize("written", [None, "", "  ", "NaN", "null", "None", "NA", "\\N"])
def test_a_missing_year_does_not_count(written: str | None) -> None:
    """However a program writes that a number is missing."""
    assert _cleared(("T", "A", written, None)) == ([("T", ["A"], None, None)], {})


def test_texts_are_shown_without_control_characters() -> None:
    """Markup, emoji, quotes and accents stay; line ends and tabs stay too; what was taken out is counted by column."""
    hostile = "<script>alert(1)</script> \U0001f469\u200d\U0001f680 \u2019\u017elut\u00fd\u2019"
    rows, cleared = _cleared(
        (hostile, "A, <b>", "1", " "),
        ("Line one\r\nLine two", "A\nB", "1", "en\tUS"),
        ("a\x00b", "A\x1b", "1", "e\x7f"),
        ("\u202ertl\ufeff", None, "1", None),
        ("\x00", "", "1", "eng"),
        (None, "", "1", "eng"),
    )
    assert rows == [
        (hostile, ["A", "<b>"], 1, None),
        ("Line one\r\nLine two", ["A\nB"], 1, "en\tUS"),
        ("a b", ["A"], 1, "e"),
        ("rtl", [], 1, None),
        ("Book 5", [], 1, "eng"),
        ("Book 6", [], 1, "eng"),
    ]
    assert cleared == {"title": 4, "authors": 1, "language": 1}
