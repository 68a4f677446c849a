"""Replay and extract: real editions as they are, and every kind of broken input."""

import gzip
import json
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from schemas import tables
from tests import excerpts
from tests.jobs.command_line import Result, run

DAYS = ("--from", "2026-01-01", "--to", "2026-01-04")
BOOKS = "book_id,goodreads_book_id,authors,original_publication_year,title\n" + "".join(
    f"{book},{100 + book},Somebody,1999.0,Book {book}\n" for book in range(1, 6)
)


@pytest.fixture(autouse=True)
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifacts folder of this test's own."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "artifacts"


def _folder(tmp_path: Path, ratings: str | bytes, books: str = BOOKS) -> Path:
    folder = tmp_path / "source"
    folder.mkdir(exist_ok=True)
    content = ratings.encode() if isinstance(ratings, str) else ratings
    (folder / "ratings.csv").write_bytes(content)
    (folder / "books.csv").write_text(books)
    return folder


def _rows(count: int = 40) -> str:
    # Ten users read books 1 to 4 in turn: sorted neither by user nor by book.
    return "".join(
        f"{1 + n % 10},{1 + n % 4 if n < 20 else 1 + (n + 1) % 4},{3 + n % 3}\n"
        for n in range(count)
    )


def _replay(capsys: pytest.CaptureFixture[str], folder: Path, *more: str) -> Result:
    return run(capsys, "replay", "--source", folder, *DAYS, *more)


def _extract(capsys: pytest.CaptureFixture[str], day: str = "2026-01-04", *more: str) -> Result:
    return run(capsys, "extract", "--partition", day, *more)


def _table(artifacts: Path, release: str, name: str) -> pl.DataFrame:
    return pl.read_parquet(artifacts / "releases" / release / f"{name}.parquet")


def test_the_current_edition_goes_in_as_it_is(
    goodbooks: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row of the real file is accepted: it holds no repeated pair and no bad row."""
    rows = pl.read_csv(goodbooks / "ratings.csv")
    assert _replay(capsys, goodbooks).outcome["time_ordered"]
    outcome = _extract(capsys).outcome
    assert outcome["rows_accepted"] == outcome["rows_in"] == rows.height
    assert outcome["users"] == rows["user_id"].n_unique()
    accepted = _table(artifacts, outcome["release"], "interactions")
    columns = ["user_id", "book_id", "rating"]
    assert accepted.select(columns).rows() == rows.select(columns).rows()
    assert accepted.to_arrow().schema.names == tables.INTERACTIONS.names


def test_the_first_edition_goes_in_as_it_is(
    goodbooks_old: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Repeats are resolved and counted: 1,644 exact duplicates and 2,278 repeats in the real file."""
    rows = pl.read_csv(goodbooks_old / "ratings.csv")
    pairs = rows.unique(["user_id", "book_id"]).height
    exact = rows.height - rows.unique().height
    if rows.height == 981_756:
        assert (exact, rows.height - pairs) == (1_644, 2_278)
    assert not _replay(capsys, goodbooks_old).outcome["time_ordered"]
    outcome = _extract(capsys).outcome
    assert outcome["rows_accepted"] == pairs
    assert outcome["rejects"] == {
        "duplicate_row": exact,
        "superseded": rows.height - pairs - exact,
    }
    assert not outcome["time_ordered"]
    rejects = _table(artifacts, outcome["release"], "rejects")
    assert rejects.height == rows.height - pairs


def test_cards_have_authors_years_and_curated_genres(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Hunger Games by Suzanne Collins, 2008: young-adult, dystopia, fantasy, no shelf names."""
    _replay(capsys, excerpts.write_current(tmp_path / "source"))
    release = _extract(capsys).outcome["release"]
    cards = {row["book_id"]: row for row in _table(artifacts, release, "books").to_dicts()}
    card = cards[2]
    assert card["authors"] == ["J.K. Rowling", "Mary GrandPré"]
    assert card["year"] == 1997
    assert card["genres"][0] == "fantasy"
    assert not {"to-read", "favorites"} & set(card["genres"])


def test_each_bad_row_has_its_reason(
    artifacts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """File, row number, reason and text of every row that is dropped."""
    monkeypatch.setenv("NIGHTSHELF_MAX_REJECT_SHARE", "0.5")
    bad = "1,1,9\n,2,3\n2,x,3\n3,99,3\n99999999999,1,3\n1,2,2.5\n"
    _replay(
        capsys,
        _folder(tmp_path, "user_id,book_id,rating\n" + _rows(34) + bad),
        "--to",
        "2026-01-01",
    )
    outcome = _extract(capsys, "2026-01-01").outcome
    found = _table(artifacts, outcome["release"], "rejects").filter(pl.col("row") > 34)
    assert found.select("row", "reason", "raw").rows() == [
        (35, "rating_out_of_range", "1,1,9"),
        (36, "null_value", ",2,3"),
        (37, "not_an_integer", "2,x,3"),
        (38, "unknown_book", "3,99,3"),
        (39, "id_out_of_range", "99999999999,1,3"),
        (40, "not_an_integer", "1,2,2.5"),
    ]
    assert set(found["file"].to_list()) == {"ratings/ds=2026-01-01/part-0.parquet"}


def test_the_newest_of_a_pair_wins(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ratings 5, 3, 5 of one book: the last is accepted, the first is its duplicate, the second superseded."""
    rows = "user_id,book_id,rating\n7,1,5\n3,2,4\n7,1,3\n2,1,4\n7,1,5\n"
    _replay(capsys, _folder(tmp_path, rows))
    outcome = _extract(capsys).outcome
    assert outcome["rejects"] == {"duplicate_row": 1, "superseded": 1}
    accepted = _table(artifacts, outcome["release"], "interactions")
    assert accepted.select("user_id", "rating", "source_row").rows() == [
        (3, 4, 2),
        (2, 4, 4),
        (7, 5, 5),
    ]


def test_too_many_bad_rows_stop_the_run(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More than 5 % bad rows: exit code 4, no release, and the rows can be read."""
    _replay(capsys, _folder(tmp_path, "user_id,book_id,rating\n" + _rows(36) + "1,1,7\n" * 4))
    result = _extract(capsys)
    assert result.exit_code == 4
    assert "rating_out_of_range" in result.outcome["error"]
    assert pq.read_table(result.outcome["where"]).num_rows >= 4
    assert not list((artifacts / "releases").glob("2026*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"user_id,book_id,rating\n", "header and no ratings"),
        (b"user_id,book,rating\n1,2,3\n", "no column book_id"),
        (b"user_id,book_id,rating\n1,2,3\n4,5", "cut off"),
        (b"user_id,book_id,rating\n1,2,\xff\n", "not UTF-8"),
        (b"user_id,book_id,rating\n1,2,3\n1,2,3,4,5\n", "no csv"),
    ],
)
def test_a_broken_file_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    """Exit code 4, what is wrong, the file's name, and no drops."""
    result = _replay(capsys, _folder(tmp_path, content))
    assert result.exit_code == 4
    assert message in result.outcome["error"]
    assert "ratings.csv" in result.outcome["where"]
    assert "Traceback" not in result.told


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No books.csv, no folder: exit code 4 with the path."""
    folder = _folder(tmp_path, "user_id,book_id,rating\n1,1,3\n")
    (folder / "books.csv").unlink()
    assert "books.csv is missing" in _replay(capsys, folder).outcome["error"]
    assert _replay(capsys, tmp_path / "nowhere").exit_code == 4


def test_a_cut_off_gzip_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ratings.csv.gz is read where it is whole and refused where it ends too early."""
    folder = _folder(tmp_path, "")
    packed = gzip.compress(("user_id,book_id,rating\n" + _rows()).encode())
    (folder / "ratings.csv.gz").write_bytes(packed)
    assert _replay(capsys, folder).outcome["rows"] == 40
    (folder / "ratings.csv.gz").write_bytes(packed[:-20])
    result = _replay(capsys, folder, "--replace")
    assert (result.exit_code, "cut off" in result.outcome["error"]) == (4, True)


def test_a_byte_order_mark_and_crlf_make_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same rows come out of a file as Windows programs write it."""
    text = "user_id,book_id,rating\n" + _rows()
    _replay(capsys, _folder(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()))
    outcome = _extract(capsys).outcome
    assert outcome["rows_in"] == 40
    assert set(outcome["rejects"]) <= {"duplicate_row", "superseded"}


def test_a_drop_that_arrives_twice_changes_nothing(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second copy's rows are duplicates."""
    _replay(capsys, _folder(tmp_path, "user_id,book_id,rating\n" + _rows()))
    before = _extract(capsys).outcome["rows_accepted"]
    drop = artifacts / "drops" / "ratings" / "ds=2026-01-04" / "part-0.parquet"
    (drop.parent / "part-1.parquet").write_bytes(drop.read_bytes())
    after = _extract(capsys).outcome
    assert after["rows_accepted"] == before
    assert not after["reused"]


def test_days_without_a_drop_and_before_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """99 for a day on which nothing arrived, 4 for one before everything; each says what there is."""
    _replay(capsys, _folder(tmp_path, "user_id,book_id,rating\n" + _rows()))
    result = _extract(capsys, "2026-01-05")
    assert (result.exit_code, "2026-01-04" in result.outcome["error"]) == (99, True)
    assert _extract(capsys, "2026-01-05", "--unchanged-ok").exit_code == 0
    result = _extract(capsys, "2025-12-31")
    assert (result.exit_code, "2026-01-01" in result.outcome["error"]) == (4, True)


def test_a_partition_sees_only_what_had_arrived(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four days of ten rows each: the second day has twenty, its data_as_of is that day's last row."""
    _replay(capsys, _folder(tmp_path, "user_id,book_id,rating\n" + _rows()))
    outcome = _extract(capsys, "2026-01-02").outcome
    assert outcome["rows_in"] == 20
    assert outcome["data_as_of"].startswith("2026-01-02T21:36:00")


def test_the_same_work_has_the_same_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], artifacts: Path
) -> None:
    """Again: the same release, reused. Other model settings: another id."""
    folder = _folder(tmp_path, "user_id,book_id,rating\n" + _rows())
    _replay(capsys, folder)
    assert _replay(capsys, folder).outcome["reused"]
    first, again = _extract(capsys).outcome, _extract(capsys).outcome
    assert (first["release"], again["reused"]) == (again["release"], True)
    content = json.loads((artifacts / "releases" / first["release"] / "inputs.json").read_text())
    assert content["partition"] == "2026-01-04"


def test_other_drops_are_not_replaced_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another range over standing drops needs --replace: nothing is lost by a slip."""
    folder = _folder(tmp_path, "user_id,book_id,rating\n" + _rows())
    _replay(capsys, folder)
    other = ("replay", "--source", folder, "--from", "2026-02-01", "--to", "2026-02-02")
    assert run(capsys, *other).exit_code == 2
    assert run(capsys, *other, "--replace").exit_code == 0


def test_an_empty_drop_and_one_with_a_renamed_column_are_told(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4 and the file's name for each."""
    _replay(capsys, _folder(tmp_path, "user_id,book_id,rating\n" + _rows()))
    drop = artifacts / "drops" / "ratings" / "ds=2026-01-04" / "part-0.parquet"
    whole = pl.read_parquet(drop)
    whole.head(0).write_parquet(drop)
    result = _extract(capsys)
    assert (result.exit_code, "empty" in result.outcome["error"]) == (4, True)
    whole.rename({"rating": "stars"}).write_parquet(drop)
    result = _extract(capsys)
    assert (result.exit_code, "no column rating" in result.outcome["error"]) == (4, True)
    drop.write_bytes(drop.read_bytes()[:100])
    assert (_extract(capsys).exit_code, str(drop) in _extract(capsys).outcome["where"]) == (4, True)


def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command and a date that is none: exit code 2 and one line of JSON."""
    assert run(capsys, "levitate").exit_code == 2
    assert run(capsys, "extract", "--partition", "tomorrow").exit_code == 2
