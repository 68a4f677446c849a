"""The page of a day that was stopped before it had a release: that it is there, and what it says."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.harness import html_page
from tests.harness.command_line import Result, run
from tests.harness.landing import HEADER, LAST_DAY, ROWS, drop, extract, folder, replay

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifacts folder of this test's own."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "artifacts"


def _renamed(path: Path) -> None:
    pl.read_parquet(path).rename({"rating": HOSTILE}).write_parquet(path)


def _empty(path: Path) -> None:
    pl.read_parquet(path).clear().write_parquet(path)


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _mostly_bad(path: Path) -> None:
    # Ten rows: six ratings of 11, two books that nobody knows, two good ones.
    drop = pl.read_parquet(path)
    rating = pl.Series("rating", ["11"] * 6 + ["3"] * 4)
    book = pl.Series("book_id", [*drop["book_id"][:6], HOSTILE, "99", *drop["book_id"][8:]])
    drop.with_columns(rating, book).write_parquet(path)


#: What is done to the newest drop, and words that the page then holds, in this order.
SPOILT: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "too many rejects": (
        _mostly_bad,
        (
            "8 of 40 rows are bad (6 rating_out_of_range",
            "What to do: fix the source",
            "The rating is not 1 to 5",
            ",11ratings/ds=2026-01-04/part-0.parquet, row 1 ",
            "Bad row 6 ",
            "The book is not in the catalogue",
            "user_id, book_id, rating",
        ),
    ),
    "a renamed column": (
        _renamed,
        (
            "has no column rating",
            "ds=2026-01-04/part-0.parquet",
            "No row was checked",
            HOSTILE,
            "Missing: rating 10 ",
        ),
    ),
    "an empty drop": (_empty, ("the drop is empty", "land the drop again", "rating", " 0 ")),
    "a drop that is cut off": (
        _cut_off,
        ("is a truncated parquet file, or none", "Not readable", "–"),
    ),
}


def _stopped(capsys: pytest.CaptureFixture[str], tmp_path: Path, what: str) -> Result:
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    SPOILT[what][0](drop(tmp_path / "artifacts"))
    result = extract(capsys)
    assert result.exit_code == 4
    return result


def _text(page: html_page.Page) -> str:
    return re.sub(r"\s+", " ", "".join(page.text).replace("\xa0", " "))


@pytest.mark.parametrize("what", SPOILT)
def test_a_stop_has_a_page(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """The command names the page; it says what, where, what to do, what arrived and which rows were left out."""
    result = _stopped(capsys, tmp_path, what)
    path = Path(result.outcome["report"])
    assert path.parent.parent == artifacts / "releases" / "stopped"
    assert re.fullmatch(rf"{LAST_DAY}-[0-9a-f]{{8}}", path.parent.name)
    page = html_page.read(path.read_text("utf-8"))
    text, place = _text(page), 0
    for words in (result.outcome["error"], result.outcome["where"], result.outcome["do"]):
        assert words in text
    for words in SPOILT[what][1]:
        place = text.index(words, place)
    assert html_page.structure_problems(page) == []
    assert (page.outside, page.all("script")) == ([], [])


@pytest.mark.parametrize("what", SPOILT)
def test_the_index_leads_to_a_stop(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """The index of all runs has a line for the stop that leads to its page and is led back to from there."""
    result = _stopped(capsys, tmp_path, what)
    path, index = Path(result.outcome["report"]), artifacts / "releases" / "index.html"
    page = html_page.read(index.read_text("utf-8"))
    (link,) = [link for link in page.links if link != "#main"]
    assert index.parent / link == path
    text = re.escape(result.outcome["error"])
    assert re.search(rf"{LAST_DAY} ?no release ✕ Stopped ?{text}", _text(page))
    assert html_page.structure_problems(page) == []
    assert page.all("script") == []
    back = next(link for link in html_page.read(path.read_text("utf-8")).links if ".html" in link)
    assert (path.parent / back).resolve() == index.resolve()


def test_a_stop_again_and_its_mending(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same stop has one page; another stop of the day has its own; a release stands above both in the index."""
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    whole = drop(artifacts).read_bytes()
    _empty(drop(artifacts))
    first, again = extract(capsys).outcome, extract(capsys).outcome
    assert first == again
    drop(artifacts).write_bytes(whole)
    _renamed(drop(artifacts))
    other = extract(capsys).outcome
    assert len({first["report"], other["report"]}) == 2
    drop(artifacts).write_bytes(whole)
    mended = extract(capsys).outcome
    assert run(capsys, "report", "--release", mended["release"]).exit_code == 0
    index = html_page.read((artifacts / "releases" / "index.html").read_text("utf-8"))
    links = [link for link in index.links if link != "#main"]
    assert links[0] == f"{mended['release']}/report.html"
    stops = {f"stopped/{Path(one['report']).parent.name}/report.html" for one in (first, other)}
    assert set(links[1:]) == stops
    assert "1 release and 2 stops" in _text(index)


def test_a_skipped_day_has_no_stop(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing arrived: that is no stop, so there is no page of one."""
    replay(capsys, folder(tmp_path, HEADER + ROWS))
    shutil.rmtree(drop(artifacts).parent)
    result = extract(capsys)
    assert result.exit_code == 99
    assert "report" not in result.outcome
    assert not (artifacts / "releases").exists()


def test_the_whole_chain_names_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`nightshelf run` stops with the same page."""
    result = _stopped(capsys, tmp_path, "too many rejects")
    assert run(capsys, "run", "--partition", LAST_DAY).outcome == result.outcome
