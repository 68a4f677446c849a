"""Replay: row order becomes arrival time, bad rows arrive as they are, broken files are told."""

import gzip
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from jobs.ingest.replay import bounds
from schemas import tables
from tests.harness import small_disk
from tests.harness.command_line import run
from tests.harness.landing import (
    BOOKS,
    DAYS,
    HEADER,
    NIGHTSHELF,
    ROWS,
    drop,
    extract,
    folder,
    replay,
)


@pytest.fixture(autouse=True)
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifacts folder of this test's own."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "artifacts"


def _landed(artifacts: Path) -> pl.DataFrame:
    files = sorted((artifacts / "drops" / "ratings").glob("*/*.parquet"))
    return pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in files])


def _digests(artifacts: Path) -> dict[str, str]:
    drops = artifacts / "drops"
    return {
        str(path.relative_to(drops)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in drops.rglob("*")
        if path.is_file()
    }


def test_the_current_edition_lands_in_its_order(
    goodbooks: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row of the real file arrives as text, in file order, later rows later."""
    outcome = replay(capsys, goodbooks, "--first-day-share", "0.5").outcome
    rows = pl.read_csv(goodbooks / "ratings.csv", infer_schema=False)
    assert (outcome["edition"], outcome["time_ordered"]) == ("current", True)
    assert outcome["rows"] == rows.height
    landed = _landed(artifacts)
    assert landed.select(rows.columns).equals(rows)
    assert landed["source_row"].to_list() == list(range(1, rows.height + 1))
    assert landed["arrived_at"].is_sorted()
    assert pq.read_schema(drop(artifacts)).equals(tables.DROP)


def test_the_first_edition_lands_by_column_name_and_is_known_to_tell_no_time(
    goodbooks_old: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its columns stand in another order and its rows are sorted by book."""
    outcome = replay(capsys, goodbooks_old).outcome
    rows = pl.read_csv(goodbooks_old / "ratings.csv", infer_schema=False)
    assert rows.columns == ["book_id", "user_id", "rating"]
    assert (outcome["edition"], outcome["time_ordered"]) == ("first", False)
    assert _landed(artifacts).select(rows.columns).equals(rows)


def test_rows_are_spread_evenly_over_days_and_hours(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forty rows on four days: ten a day, one every 2.4 hours from midnight on."""
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    second = pl.read_parquet(drop(artifacts, "2026-01-02"))
    assert second["source_row"].to_list() == list(range(11, 21))
    assert second["arrived_at"].to_list() == [
        datetime(2026, 1, 2, n * 144 // 60, n * 144 % 60, tzinfo=UTC) for n in range(10)
    ]


@pytest.mark.parametrize(
    ("rows", "days", "share", "starts"),
    [
        (40, 4, 0.0, [0, 10, 20, 30, 40]),
        (40, 4, 0.7, [0, 28, 32, 36, 40]),
        (10, 4, 0.5, [0, 5, 6, 8, 10]),
        (10, 3, 0.0, [0, 3, 6, 10]),
        (7, 1, 0.4, [0, 7]),
    ],
)
def test_where_days_begin(rows: int, days: int, share: float, starts: list[int]) -> None:
    """The first day has its share, the others equal parts of the rest, and every row has a day."""
    assert bounds(rows, days, share) == starts


def test_the_source_is_written_down(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Edition, order, range, rows a day, and each file with rows and digest."""
    source = folder(tmp_path, HEADER + ROWS)
    replay(capsys, source, "--first-day-share", "0.7")
    described = json.loads((artifacts / "drops" / "source.json").read_text())
    assert described == {
        "edition": "current",
        "time_ordered": True,
        "from": "2026-01-01",
        "to": "2026-01-04",
        "first_day_share": 0.7,
        "days": {"2026-01-01": 28, "2026-01-02": 4, "2026-01-03": 4, "2026-01-04": 4},
        "files": {
            "ratings.csv": {
                "rows": 40,
                "sha256": hashlib.sha256((HEADER + ROWS).encode()).hexdigest(),
            },
            "books.csv": {"rows": 5, "sha256": hashlib.sha256(BOOKS.encode()).hexdigest()},
        },
    }
    assert (artifacts / "drops" / "catalogue" / "books.csv").read_text() == BOOKS


def test_bad_rows_arrive_as_they_are(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Judging is extract's work: text, empty and missing cells come through, and each row keeps its number."""
    bad = "abc,1,5\n,2,3\n 7 ,1,2.5\n4,5\n"
    replay(capsys, folder(tmp_path, HEADER + ROWS + bad))
    last = _landed(artifacts).tail(4)
    assert last.select("source_row", "user_id", "book_id", "rating").rows() == [
        (41, "abc", "1", "5"),
        (42, None, "2", "3"),
        (43, " 7 ", "1", "2.5"),
        (44, "4", "5", None),
    ]


def test_the_same_source_and_range_give_the_same_bytes(
    tmp_path: Path,
    artifacts: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Again: nothing is written. Elsewhere: every file has the same digest."""
    source = folder(tmp_path, HEADER + ROWS)
    assert not replay(capsys, source).outcome["reused"]
    before = drop(artifacts).stat().st_mtime_ns
    assert replay(capsys, source).outcome["reused"]
    assert drop(artifacts).stat().st_mtime_ns == before
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path / "elsewhere"))
    replay(capsys, source)
    assert _digests(tmp_path / "elsewhere") == _digests(artifacts)


def test_other_drops_are_not_replaced_unasked(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another range or source over standing drops needs --replace, and then nothing of the old is left."""
    source = folder(tmp_path, HEADER + ROWS)
    replay(capsys, source)
    other = ("replay", "--source", source, "--from", "2026-02-01", "--to", "2026-02-02")
    before = _digests(artifacts)
    result = run(capsys, *other)
    assert (result.exit_code, "--replace" in result.outcome["do"]) == (2, True)
    folder(tmp_path, HEADER + ROWS + "9,5,1\n")
    assert replay(capsys, source).exit_code == 2
    assert _digests(artifacts) == before
    assert run(capsys, *other, "--replace").exit_code == 0
    days = sorted(path.name for path in (artifacts / "drops" / "ratings").iterdir())
    assert days == ["ds=2026-02-01", "ds=2026-02-02"]


def test_drops_that_lost_a_day_are_not_taken_for_whole(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same source again: told, and landed anew with --replace."""
    source = folder(tmp_path, HEADER + ROWS)
    replay(capsys, source)
    whole = _digests(artifacts)
    drop(artifacts).unlink()
    assert "incomplete" in replay(capsys, source).outcome["error"]
    assert replay(capsys, source, "--replace").exit_code == 0
    assert _digests(artifacts) == whole


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", "2026-01-02", "--to", "2026-01-01"),
        (*DAYS, "--first-day-share", "1"),
        (*DAYS, "--first-day-share", "-0.1"),
        ("--from", "2026-01-01", "--to", "2026-02-10"),
    ],
    ids=["backwards", "all on the first day", "negative", "more days than rows"],
)
def test_a_range_that_cannot_be_filled_is_wrong_usage(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """Exit code 2 and no drops: a day without rows would look like a source that dried up."""
    source = folder(tmp_path, HEADER + ROWS)
    assert run(capsys, "replay", "--source", source, *arguments).exit_code == 2
    assert not artifacts.exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", ("empty", "")),
        (b"user_id,book_id,rating\n", ("header and no ratings", "")),
        (b"user_id,book,rating\n1,2,3\n", ("no column book_id", ":1")),
        (b"user_id,book_id,rating\n1,2,3\n4,5", ("cut off", ":3")),
        (b"user_id,book_id,rating\n1,2,3\n1,2,\xff\n", ("not UTF-8", ":3")),
        (b"user_id,book_id,rating\n1,2,3\n1,2,3,4,5\n", ("no csv", ":3")),
    ],
    ids=["empty", "header only", "column", "cut off", "bytes", "cells"],
)
def test_a_broken_file_is_told(
    tmp_path: Path,
    artifacts: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    text: tuple[str, str],
) -> None:
    """Exit code 4, what is wrong, the file and the line, what to do, and no drops."""
    message, line = text
    source = folder(tmp_path, content)
    result = replay(capsys, source)
    assert result.exit_code == 4
    assert message in result.outcome["error"]
    assert result.outcome["where"] == f"{source / 'ratings.csv'}{line}"
    assert result.outcome["do"]
    assert "Traceback" not in result.text
    assert not artifacts.exists()


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No ratings, no books, no folder: exit code 4 with the path."""
    source = folder(tmp_path, HEADER + ROWS)
    (source / "books.csv").unlink()
    assert "books.csv is missing" in replay(capsys, source).outcome["error"]
    (source / "ratings.csv").unlink()
    assert "ratings.csv is missing" in replay(capsys, source).outcome["error"]
    result = replay(capsys, tmp_path / "nowhere")
    assert (result.exit_code, "nowhere" in result.outcome["where"]) == (4, True)


def test_a_cut_off_gzip_is_told(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ratings.csv.gz is read where it is complete; where it ends too early the standing drops stay."""
    source = folder(tmp_path, "")
    (source / "ratings.csv").unlink()
    packed = gzip.compress((HEADER + ROWS).encode())
    (source / "ratings.csv.gz").write_bytes(packed)
    assert replay(capsys, source).outcome["rows"] == 40
    before = _digests(artifacts)
    for damaged in (packed[:-20], packed[:-1], b"not gzip at all\n"):
        (source / "ratings.csv.gz").write_bytes(damaged)
        result = replay(capsys, source, "--replace")
        assert (result.exit_code, "ratings.csv.gz" in result.outcome["where"]) == (4, True)
    assert _digests(artifacts) == before


def test_a_file_in_both_forms_is_refused(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which of them counts cannot be known: both names are said, of any file, and nothing lands."""
    source = folder(tmp_path, HEADER + ROWS)
    for name in ("ratings.csv", "books.csv", "tags.csv"):
        twin = source / f"{name}.gz"
        (source / name).touch()
        twin.write_bytes(gzip.compress(BOOKS.encode()))
        result = replay(capsys, source)
        assert (result.exit_code, result.outcome["error"]) == (
            4,
            f"{name} and {name}.gz are both there",
        )
        twin.unlink()
    assert not artifacts.exists()


def test_a_packed_catalogue_lands_under_plain_names(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """books.csv.gz is read like books.csv, by replay and by extract."""
    source = folder(tmp_path, HEADER + ROWS)
    (source / "books.csv.gz").write_bytes(gzip.compress((source / "books.csv").read_bytes()))
    (source / "books.csv").unlink()
    assert replay(capsys, source).exit_code == 0
    assert [path.name for path in (artifacts / "drops/catalogue").iterdir()] == ["books.csv"]
    assert extract(capsys).outcome["rows_accepted"] == 40


def test_another_encoding_lands_as_utf8(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused with what it looks like; with --encoding stored as UTF-8, so that extract needs no option."""
    source = folder(tmp_path, HEADER + ROWS)
    text = BOOKS.replace("Somebody", "It’s García").encode("cp1252")
    (source / "books.csv").write_bytes(text)
    refused = replay(capsys, source)
    assert (refused.exit_code, refused.outcome["where"]) == (4, f"{source / 'books.csv'}:2")
    assert "windows-1252" in refused.outcome["error"]
    assert not artifacts.exists()
    assert replay(capsys, source, "--encoding", "nothing").exit_code == 2
    assert replay(capsys, source, "--encoding", "windows-1252").exit_code == 0
    landed = (artifacts / "drops/catalogue/books.csv").read_text("utf-8")
    assert landed == BOOKS.replace("Somebody", "It’s García")
    assert extract(capsys).exit_code == 0


def test_empty_rows_take_no_time(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines of delimiters alone arrive, and the other rows arrive when they would have without them."""
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    plain = _landed(artifacts)
    lines = ROWS.splitlines()
    empty = [",,", " , ,", '"","",""', ",,,,", ""]
    mixed = [empty[0], *lines[:10], *empty[1:3], *lines[10:], *empty[3:], ",,"]
    replay(capsys, folder(tmp_path, "\n".join([HEADER.strip(), *mixed, ""])), "--replace")
    landed = _landed(artifacts)
    assert landed.height == 46
    is_full = pl.col("user_id").fill_null("").str.strip_chars() != ""
    assert landed.filter(is_full).equals(plain)
    assert extract(capsys).exit_code == 4


def test_the_way_numbers_are_written_does_not_hide_that_a_file_is_sorted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sorted by book, and written plain, with spaces or with a decimal point: no time is told."""
    rows = sorted((line.split(",") for line in ROWS.splitlines()), key=lambda row: int(row[1]))
    for form in ("{},{},{}\n", " {}, {}, {}\n", "{}.0,{}.0,{}.0\n"):
        source = folder(tmp_path, HEADER + "".join(form.format(*row) for row in rows))
        assert not replay(capsys, source, "--replace").outcome["time_ordered"]


def test_a_byte_order_mark_crlf_and_empty_lines_at_the_end_make_no_difference(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file as Windows programs write it lands as the same rows."""
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    plain = _landed(artifacts)
    text = (HEADER + ROWS + "\n\n").replace("\n", "\r\n")
    replay(capsys, folder(tmp_path, b"\xef\xbb\xbf" + text.encode()), "--replace")
    assert _landed(artifacts).equals(plain)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, artifacts: Path) -> None:
    """Drops that do not fit: exit code 1, what to do, not even half a file."""
    rows = "".join(f"{n * 7919 % 9973},{n * 104729 % 9967},{1 + n % 5}\n" for n in range(1, 60_000))
    source = folder(tmp_path, HEADER + rows)
    result = small_disk.run(artifacts, 300, *NIGHTSHELF, "replay", "--source", source, *DAYS)
    # What is kept of the attempt is no part of the drops.
    left = [name for name in result.left if not name.startswith("./attempts/")]
    assert (result.exit_code, left) == (1, [])
    assert "the disk is full" in result.text
    assert "Traceback" not in result.text
