"""Extract: real editions as they are, every row accounted for, and every kind of broken drop."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from jobs.model import settings as model_settings
from jobs.runtime.artifacts import ReleaseFolder, release_folders
from schemas import tables
from tests.harness import excerpts, small_disk
from tests.harness.command_line import run
from tests.harness.landing import (
    BOOKS,
    HEADER,
    LAST_DAY,
    NIGHTSHELF,
    ROWS,
    drop,
    extract,
    folder,
    replay,
    table,
)

CELLS = ("user_id", "book_id", "rating")


@pytest.fixture(autouse=True)
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifacts folder of this test's own."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "artifacts"


def _releases(artifacts: Path) -> list[str]:
    return [folder.release for folder in release_folders(artifacts / "releases")]


def test_the_current_edition_goes_in_as_it_is(
    goodbooks: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row of the real file is accepted: it holds no repeated pair and no bad row."""
    rows = pl.read_csv(goodbooks / "ratings.csv")
    replay(capsys, goodbooks)
    outcome = extract(capsys).outcome
    if "GOODBOOKS_DIR" in os.environ:
        assert (outcome["rows_in"], outcome["users"], outcome["books"]) == (298_176, 2_672, 9_990)
    assert outcome["rows_accepted"] == outcome["rows_in"] == rows.height
    assert (outcome["rejects"], outcome["time_ordered"]) == ({}, True)
    accepted = table(artifacts, outcome["release"], "interactions")
    assert accepted.select(CELLS).rows() == rows.select(CELLS).rows()
    assert accepted["source_row"].to_list() == list(range(1, rows.height + 1))


def test_every_table_has_its_schema(
    goodbooks: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, types and nullability of all four tables; no row of to_read.csv is lost unseen."""
    replay(capsys, goodbooks)
    outcome = extract(capsys).outcome
    release = ReleaseFolder(artifacts / "releases" / outcome["release"])
    assert pq.read_schema(release.interactions).equals(tables.INTERACTIONS)
    assert pq.read_schema(release.books).equals(tables.BOOKS)
    assert pq.read_schema(release.to_read).equals(tables.TO_READ)
    assert pq.read_schema(release.rejects).equals(tables.REJECTS)
    wishes = pl.read_csv(goodbooks / "to_read.csv")
    assert outcome["wishes"] + outcome["wishes_dropped"] == wishes.height


def test_the_first_edition_goes_in_as_it_is(
    goodbooks_old: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Repeats are resolved and counted.

    In the real file 2,278 rows repeat an earlier row's pair; of these, 1,644 repeat its rating too.
    """
    rows = pl.read_csv(goodbooks_old / "ratings.csv")
    pairs = rows.unique(["user_id", "book_id"]).height
    exact = rows.height - rows.unique().height
    if "GOODBOOKS_OLD_DIR" in os.environ:
        assert (rows.height, exact, rows.height - pairs) == (981_756, 1_644, 2_278)
    replay(capsys, goodbooks_old)
    outcome = extract(capsys).outcome
    assert outcome["rows_accepted"] == pairs
    assert outcome["rejects"] == {
        "duplicate_row": exact,
        "superseded": rows.height - pairs - exact,
    }
    assert not outcome["time_ordered"]
    release = outcome["release"]
    assert table(artifacts, release, "rejects").height == rows.height - pairs
    newest = rows.unique(["user_id", "book_id"], keep="last", maintain_order=True)
    assert (
        table(artifacts, release, "interactions").select(CELLS).rows()
        == newest.select(CELLS).rows()
    )


def test_each_dropped_row_can_be_found(
    artifacts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """File, row within the file, reason and text of every dropped row, by file and row; none is lost."""
    monkeypatch.setenv("NIGHTSHELF_MAX_REJECT_SHARE", "0.5")
    bad = "1,1,9\n,2,3\n2,x,3\n3,99,3\n99999999999,1,3\n1,1,2\n"
    replay(capsys, folder(tmp_path, HEADER + ROWS + bad + "3,5,4\n"), "--first-day-share", "0.75")
    outcome = extract(capsys).outcome
    # 47 rows: 35 on the first day, 4 on each of the others; row 41 is the second of day 3.
    assert table(artifacts, outcome["release"], "rejects").rows() == [
        ("ratings/ds=2026-01-01/part-0.parquet", 1, "superseded", "1,1,3"),
        ("ratings/ds=2026-01-03/part-0.parquet", 2, "rating_out_of_range", "1,1,9"),
        ("ratings/ds=2026-01-03/part-0.parquet", 3, "null_value", ",2,3"),
        ("ratings/ds=2026-01-03/part-0.parquet", 4, "not_an_integer", "2,x,3"),
        ("ratings/ds=2026-01-04/part-0.parquet", 1, "unknown_book", "3,99,3"),
        ("ratings/ds=2026-01-04/part-0.parquet", 2, "id_out_of_range", "99999999999,1,3"),
    ]
    assert (outcome["rows_in"], outcome["rows_accepted"]) == (47, 41)
    assert sum(outcome["rejects"].values()) == 6


def test_too_many_bad_rows_stop_the_run(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More than 5 % bad rows: exit code 4 with the reasons, no release, and the rows can be read."""
    bad = "1,1,7\n" * 3 + "1,77,5\n"
    replay(capsys, folder(tmp_path, HEADER + ROWS + bad))
    result = extract(capsys)
    assert result.exit_code == 4
    assert "4 of 44 rows are bad (3 rating_out_of_range, 1 unknown_book)" in result.outcome["error"]
    assert "5% are allowed" in result.outcome["error"]
    kept = pl.read_parquet(result.outcome["where"])
    assert kept["reason"].to_list().count("rating_out_of_range") == 3
    assert _releases(artifacts) == []


def test_a_broken_day_shows_among_many_good_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two bad rows are 4 % of all and 40 % of the newest day: the day stops the run, the days before it pass."""
    rows = HEADER + ROWS + "1,5,5\n2,5,5\n3,5,5\n4,55,5\n5,55,5\n6,5,5\n7,5,5\n"
    replay(capsys, folder(tmp_path, rows), "--first-day-share", "0.7")
    assert extract(capsys, "2026-01-02").exit_code == 0
    result = extract(capsys)
    assert result.exit_code == 4
    assert "2 of 5 rows of 2026-01-04" in result.outcome["error"]


def test_no_good_row_at_all_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where any share of bad rows is allowed."""
    monkeypatch.setenv("NIGHTSHELF_MAX_REJECT_SHARE", "1")
    replay(capsys, folder(tmp_path, HEADER + "1,9,5\n3,8,5\n2,9,5\n3,9,5\n"))
    result = extract(capsys)
    assert (result.exit_code, "no row was accepted" in result.outcome["error"]) == (4, True)


def test_the_same_work_has_the_same_id_and_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], artifacts: Path
) -> None:
    """Again: the same release with the same counts, reused. Made anew: the same bytes in every table."""
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    first = extract(capsys).outcome
    assert extract(capsys).outcome == {**first, "reused": True}
    release = artifacts / "releases" / first["release"]
    before = {path.name: path.read_bytes() for path in release.glob("*.*")}
    release.rename(tmp_path / "away")
    assert extract(capsys).outcome == first
    assert {path.name: path.read_bytes() for path in release.glob("*.*")} == before
    assert _releases(artifacts) == [first["release"]]


def test_other_settings_make_another_release(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    artifacts: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both stand side by side, each with the settings and inputs it was begun with."""
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    first = extract(capsys).outcome["release"]
    settings = tmp_path / "model.toml"
    settings.write_text(model_settings.DEFAULTS.read_text().replace("seed = ", "seed = 1"))
    monkeypatch.setenv("NIGHTSHELF_MODEL_SETTINGS", str(settings))
    second = extract(capsys).outcome["release"]
    assert _releases(artifacts) == sorted({first, second})
    for release in (first, second):
        content = json.loads((artifacts / "releases" / release / "inputs.json").read_text())
        assert (content["release"], content["partition"]) == (release, LAST_DAY)
        assert [file["rows"] for file in content["inputs"]] == [5, 10, 10, 10, 10]


def test_a_source_with_dates_of_its_own(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole numbers and times, no source row, rows in no order: the later time wins, by file order if equal."""
    replay(capsys, folder(tmp_path, HEADER + ROWS), "--to", "2026-01-01")
    at = [datetime(2026, 1, 4, hour, tzinfo=UTC) for hour in (9, 8, 7, 7)]
    own = {"user_id": [70, 70, 71, 71], "book_id": [1, 1, 2, 2], "rating": [5, 1, 3, 4]}
    drop(artifacts).parent.mkdir(parents=True)
    pl.DataFrame({**own, "arrived_at": at, "device": ["a"] * 4}).write_parquet(drop(artifacts))
    outcome = extract(capsys).outcome
    accepted = table(artifacts, outcome["release"], "interactions").tail(2)
    assert accepted.select(CELLS).rows() == [(71, 2, 4), (70, 1, 5)]
    assert outcome["data_as_of"] == "2026-01-04T09:00:00+00:00"


@pytest.mark.parametrize("form", [pl.Int64, pl.Float64, pl.String])
def test_landed_rows_that_are_sorted_tell_no_time(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str], form: type[pl.DataType]
) -> None:
    """Without source.json it is judged on parsed values, however they are written."""
    replay(capsys, folder(tmp_path, HEADER + ROWS), "--to", "2026-01-01")
    (artifacts / "drops" / "source.json").unlink()
    books = {"book_id": [1 + n * 7 % 5 for n in range(200)], "rating": [4] * 200}
    ascending = pl.DataFrame({"user_id": range(1, 201), **books})
    mixed = pl.DataFrame({"user_id": [201 + n * 79 % 200 for n in range(200)], **books})
    for day, rows, ordered in (("2026-01-01", ascending, False), (LAST_DAY, mixed, True)):
        drop(artifacts, day).parent.mkdir(exist_ok=True)
        rows.with_columns(pl.all().cast(form)).write_parquet(drop(artifacts, day))
        outcome = extract(capsys, day).outcome
        inputs = artifacts / "releases" / outcome["release"] / "inputs.json"
        assert outcome["time_ordered"] is ordered
        assert json.loads(inputs.read_text())["time_ordered"] is ordered


def test_a_user_is_left_out_by_a_setting(
    tmp_path: Path,
    artifacts: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows and wishes; it makes another release, and one id however the users are ordered."""
    source = folder(tmp_path, HEADER + ROWS)
    (source / "to_read.csv").write_text("user_id,book_id\n3,5\n4,5\n4,4\n")
    replay(capsys, source)
    everybody = extract(capsys).outcome
    monkeypatch.setenv("NIGHTSHELF_LEAVE_OUT_USERS", "9, 4")
    without = extract(capsys).outcome
    assert without["release"] != everybody["release"]
    assert without["rejects"] == {"user_left_out": 8}
    assert (without["users"], without["wishes"]) == (8, 1)
    assert not {4, 9} & set(table(artifacts, without["release"], "interactions")["user_id"])
    monkeypatch.setenv("NIGHTSHELF_LEAVE_OUT_USERS", "4,9,4")
    assert extract(capsys).outcome == {**without, "reused": True}
    monkeypatch.setenv("NIGHTSHELF_LEAVE_OUT_USERS", "bot")
    assert extract(capsys).exit_code == 2


def test_a_year_that_cannot_be_is_left_out_and_counted(
    tmp_path: Path,
    artifacts: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The book stays; the earliest year is a setting that makes another release."""
    replay(capsys, folder(tmp_path, HEADER + ROWS, BOOKS.replace("1999.0,Book 2", "9999,Book 2")))
    outcome = extract(capsys).outcome
    assert outcome["cleared"] == {"year": 1}
    assert (
        table(artifacts, outcome["release"], "books")["year"].to_list() == [1999, None] + [1999] * 3
    )
    monkeypatch.setenv("NIGHTSHELF_EARLIEST_YEAR", "2000")
    later = extract(capsys).outcome
    assert later["release"] != outcome["release"]
    assert later["cleared"] == {"year": 5}


def test_a_broken_drop_is_told_and_harms_nothing(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Empty, with a renamed column, cut off: exit code 4 and the file's name for each; older releases stay."""
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    extract(capsys, "2026-01-03")
    standing = _releases(artifacts)
    whole = pl.read_parquet(drop(artifacts))
    for damage, message in (
        (lambda: whole.head(0).write_parquet(drop(artifacts)), "empty"),
        (
            lambda: whole.rename({"rating": "stars"}).write_parquet(drop(artifacts)),
            "no column rating",
        ),
        (
            lambda: drop(artifacts).write_bytes(drop(artifacts).read_bytes()[:100]),
            "truncated parquet",
        ),
    ):
        damage()
        result = extract(capsys)
        assert (result.exit_code, result.outcome["where"]) == (4, str(drop(artifacts)))
        assert message in result.outcome["error"]
        assert "Traceback" not in result.text
    assert _releases(artifacts) == standing


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, artifacts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A release that does not fit: exit code 1, what to do, not even half a release; then it works."""
    users = "".join(f"{n * 7919 % 99991},{1 + n % 5},{1 + n % 4}\n" for n in range(1, 60_000))
    replay(capsys, folder(tmp_path, HEADER + users))
    command = (*NIGHTSHELF, "extract", "--partition", LAST_DAY)
    result = small_disk.run(artifacts / "releases", 150, *command)
    assert (result.exit_code, result.left) == (1, [])
    assert "the disk is full" in result.text
    assert "Traceback" not in result.text
    assert extract(capsys).exit_code == 0


def test_cards_have_authors_years_and_curated_genres(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first Harry Potter: by two people, of 1997, fantasy before anything else, no shelf names."""
    replay(capsys, excerpts.write_current(tmp_path / "source"))
    release = extract(capsys).outcome["release"]
    cards = {row["book_id"]: row for row in table(artifacts, release, "books").to_dicts()}
    card = cards[2]
    assert card["authors"] == ["J.K. Rowling", "Mary GrandPré"]
    assert card["year"] == 1997
    assert card["genres"][0] == "fantasy"
    assert not {"to-read", "favorites"} & set(card["genres"])


def test_the_newest_of_a_pair_wins(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ratings 5, 3, 5 of one book: the last is accepted, the first is its duplicate, the second superseded."""
    rows = HEADER + "7,1,5\n3,2,4\n7,1,3\n2,1,4\n7,1,5\n"
    replay(capsys, folder(tmp_path, rows))
    outcome = extract(capsys).outcome
    assert outcome["rejects"] == {"duplicate_row": 1, "superseded": 1}
    accepted = table(artifacts, outcome["release"], "interactions")
    assert accepted.select("user_id", "rating", "source_row").rows() == [
        (3, 4, 2),
        (2, 4, 4),
        (7, 5, 5),
    ]


@pytest.mark.parametrize(
    "again", ["ds=2026-01-04/part-1", "ds=2026-01-04/a", "ds=2026-01-05/part-0"]
)
def test_a_drop_that_arrives_twice_changes_nothing(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], again: str
) -> None:
    """On the same day or the next, before or after by name: ten duplicates, the same accepted rows."""
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    before = extract(capsys).outcome
    copy = artifacts / "drops" / "ratings" / f"{again}.parquet"
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(drop(artifacts).read_bytes())
    after = extract(capsys, again[3:13]).outcome
    assert after["release"] != before["release"]
    assert after["rejects"] == {"duplicate_row": 10}
    rows = [table(artifacts, found["release"], "interactions") for found in (before, after)]
    assert rows[0].equals(rows[1])
    assert after["data_as_of"] == before["data_as_of"]


def test_days_without_a_drop_and_before_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """99 for a day on which nothing arrived, 4 for one before everything; each says what there is."""
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    result = extract(capsys, "2026-01-05")
    assert (result.exit_code, "2026-01-04" in result.outcome["error"]) == (99, True)
    assert extract(capsys, "2026-01-05", "--unchanged-ok").exit_code == 0
    result = extract(capsys, "2025-12-31")
    assert (result.exit_code, "2026-01-01" in result.outcome["error"]) == (4, True)


def test_a_partition_sees_only_what_had_arrived(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four days of ten rows each: the second day has twenty, its data_as_of is that day's last row."""
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    outcome = extract(capsys, "2026-01-02").outcome
    assert outcome["rows_in"] == 20
    assert outcome["data_as_of"] == "2026-01-02T21:36:00+00:00"


def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command and a date that is none: exit code 2 and one line of JSON."""
    assert run(capsys, "levitate").exit_code == 2
    assert run(capsys, "extract", "--partition", "tomorrow").exit_code == 2
