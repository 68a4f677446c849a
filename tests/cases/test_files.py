"""Every handed Goodbooks folder gives what its row of the cases' README says, by `replay`, `extract` and `validate`.

The plain form of a case's rows is worked out here by the csv module, not by the code under test.
"""

import csv
import gzip
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cases.case import FIRST_DAY, LAST_DAY, Case, handed

Expectation = Callable[[Case, Path], None]
_UTF_16_MARK, _GZIP = b"\xff\xfe", b"\x1f\x8b"


def _rows(path: Path, delimiter: str = ",") -> list[tuple[int, int, int]]:
    """Return (user, book, rating) of each row that holds anything."""
    content = path.read_bytes()
    if content.startswith(_GZIP):
        content = gzip.decompress(content)
    text = content.decode("utf-16" if content.startswith(_UTF_16_MARK) else "utf-8-sig")
    header, *lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = [name.strip().lower() for name in header]
    places = [names.index(name) for name in ("user_id", "book_id", "rating")]
    found = [[int(float(line[place])) for place in places] for line in lines if any(line)]
    return [(user, book, rating) for user, book, rating in found]


def _written_plainly(case: Case, source: Path, delimiter: str = ",") -> Path:
    """Write a folder anew: whole numbers, commas, a plain header; other files as they are."""
    plain = case.folder / "plain"
    plain.mkdir()
    for file in source.glob("*.csv"):
        shutil.copyfile(file, plain / file.name)
    rows = _rows(source / "ratings.csv", delimiter)
    assert len(rows) == 720
    assert len({user for user, _, _ in rows}) == 60
    assert len({book for _, book, _ in rows}) == 272
    text = "user_id,book_id,rating\n" + "".join(f"{u},{b},{r}\n" for u, b, r in rows)
    (plain / "ratings.csv").write_text(text, encoding="utf-8")
    return plain


def _same_as(case: Case, plain: Path) -> None:
    """Compare the accepted rows with those of a plain folder, byte for byte, and the cards with its cards."""
    rows, cards, wishes = case.interactions(), case.table("books"), case.table("to_read")
    case.use("plain-artifacts")
    case.replay(plain)
    case.extract()
    assert rows == case.interactions()
    assert cards.equals(case.table("books"))
    assert wishes.equals(case.table("to_read"))


def _plain(delimiter: str = ",", rejects: int = 0, said: str = "") -> Expectation:
    """Expect what the plain form gives; `said` is what one line of standard error has to hold."""

    def expect(case: Case, source: Path) -> None:
        replayed = case.replay(source)
        if said:
            (_,) = (line for line in replayed.text.splitlines() if said in line)
        outcome = case.extract().outcome
        assert sum(outcome["rejects"].values()) == rejects
        assert outcome["rows_accepted"] == 720
        _same_as(case, _written_plainly(case, source, delimiter))

    return expect


def _whole_numbers(case: Case, source: Path) -> None:
    """Expect what the same catalogue files give with `.0` taken away from every number."""
    case.replay(source)
    case.extract()
    plain = _written_plainly(case, source)
    for file in plain.glob("*.csv"):
        file.write_text(file.read_text(encoding="utf-8").replace(".0,", ",").replace(".0\n", "\n"))
    _same_as(case, plain)


def _refused(*named: str) -> Expectation:
    """Expect a refusal that holds these words."""

    def expect(case: Case, source: Path) -> None:
        days = ("--from", FIRST_DAY, "--to", LAST_DAY)
        told = case.refused("replay", "--source", source, *days)
        for word in named:
            assert word in told, told

    return expect


def _unordered(case: Case, source: Path) -> None:
    """Expect rows that are known to tell no time."""
    assert case.replay(source).outcome["time_ordered"] is False
    assert case.extract().outcome["time_ordered"] is False


def _genres(case: Case, source: Path) -> None:
    """Expect the genre fantasy on every book with tag 1; tag 2, fiction, is too wide for a genre."""
    case.replay(source)
    case.extract()
    with (source / "book_tags.csv").open(encoding="utf-8", newline="") as file:
        tags = {int(line["goodreads_book_id"]): line["tag_id"] for line in csv.DictReader(file)}
    assert len(tags) == 300
    cards = case.table("books")
    assert dict(zip(cards["goodreads_book_id"], cards["genres"].to_list(), strict=True)) == {
        book: ["fantasy"] if tag == "1" else [] for book, tag in tags.items()
    }


def _read_with(encoding: str, column: str, cell: str) -> Expectation:
    """Expect a refusal that names the encoding, and with it given every book's card as it was written."""

    def expect(case: Case, source: Path) -> None:
        days = ("--from", FIRST_DAY, "--to", LAST_DAY)
        told = case.refused("replay", "--source", source, *days)
        assert "books.csv" in told, told
        assert encoding in told, told
        case.replay(source, "--encoding", encoding)
        case.extract()
        assert cell in case.table("books")[column].explode().to_list()

    return expect


def _without_genres(case: Case, source: Path) -> None:
    """Expect a release without a genre, and the file that is to blame named."""
    case.replay(source)
    told = case.extract().text
    assert any("tags.csv" in line and "genre" in line for line in told.splitlines()), told
    assert case.table("books")["genres"].explode().drop_nulls().is_empty()
    judged = case.validate("books")
    assert judged.exit_code == 0, judged.text


def _years_cleared(case: Case, source: Path) -> None:
    """Expect only years that are some, the cleared ones counted, and a check of their share with a setting."""
    case.replay(source)
    extracted = case.extract()
    years = dict(zip(*case.table("books").select("book_id", "year"), strict=True))
    assert [years[book] for book in range(1, 10)] == [-762, 0, *[None] * 6, 1909]
    assert extracted.outcome["cleared"] == {"year": 6}
    judged = case.validate("books")
    assert judged.exit_code == 0, judged.text
    case.set("NIGHTSHELF_CLEARED_MAX_SHARE", "0.001")
    judged = case.validate("books")
    assert judged.exit_code == 3, judged.text
    assert "year" in judged.text, judged.text


def _titles_as_they_are(case: Case, source: Path) -> None:
    """Expect every title as it was written, less signs that nobody sees, and books that pass their checks."""
    case.replay(source)
    case.extract()
    with (source / "books.csv").open(encoding="utf-8", newline="") as file:
        lines = [(int(line["book_id"]), line["title"]) for line in csv.DictReader(file)]
    unseen = str.maketrans(dict.fromkeys("\x00\u202e\ufeff", " "))
    titles = {book: title.translate(unseen).strip() or f"Book {book}" for book, title in lines}
    assert dict(zip(*case.table("books").select("book_id", "title"), strict=True)) == titles
    judged = case.validate("books")
    assert judged.exit_code == 0, judged.text


def _bot_named(case: Case, source: Path) -> None:
    """Expect a check that names the user, and that it passes without this user's rows."""
    case.replay(source)
    case.extract()
    judged = case.validate("interactions")
    assert judged.exit_code == 3, judged.text
    assert "9999" in judged.text, judged.text
    case.set("NIGHTSHELF_LEAVE_OUT_USERS", "9999")
    assert case.extract().outcome["rejects"] == {"user_left_out": 300}
    judged = case.validate("interactions")
    assert judged.exit_code == 0, judged.text


def _gzip_alone(case: Case, source: Path) -> None:
    """Expect the rows of the packed file; the demo's own test runs all of it on such a folder."""
    with gzip.open(source / "ratings.csv.gz", "rt", encoding="utf-8") as file:
        rows = sum(1 for _ in file) - 1
    assert case.replay(source).outcome["rows"] == rows
    assert case.extract().outcome["rows_in"] == rows


EXPECTED: dict[str, Expectation] = {
    "01-excel-semicolon": _plain(";"),
    "02-excel-decimal-comma": _refused("ratings.csv", "decimal comma", "line 2"),
    "05-rating-4.0": _plain(),
    "06-user-58.0": _plain(),
    "10-order-case": _plain(),
    "11-header-spaces": _plain(),
    "12-utf16": _plain(),
    "14-gz-named-csv": _plain(),
    "16-trailing-commas-lines": _plain(rejects=2),
    "17-no-final-newline": _plain(said="last line"),
    "19-tab-sep": _plain("\t"),
    "28-latin1-books": _read_with("latin-1", "authors", "Gabriel García Márquez"),
    "29-cp1252-books": _read_with("windows-1252", "title", "It\u2019s \u201cnice\u201d"),
    "30-dup-columns": _refused("ratings.csv", "rating"),
    "40-sorted-by-book": _unordered,
    "41-sorted-by-book-spaces": _unordered,
    "44-book-id-1.0": _whole_numbers,
    "48-years": _years_cleared,
    "51-tags-count-float": _genres,
    "52-tags-id-float": _genres,
    "55-tags-header-only": _without_genres,
    "56-tags-case": _genres,
    "59-both-ratings": _refused("ratings.csv", "ratings.csv.gz"),
    "60-to_read-float": _whole_numbers,
    "demo-gz": _gzip_alone,
    "sh-bot": _bot_named,
    "sh-titles": _titles_as_they_are,
}


@pytest.mark.parametrize("source", handed("files"), ids=lambda source: source.name)
def test_a_handed_folder_gives_what_was_promised(case: Case, source: Path) -> None:
    """Read as the same rows in the plainest form, cleaned and counted, or refused by name."""
    assert source.name in EXPECTED, f"nothing is expected of {source.name}"
    EXPECTED[source.name](case, source)
