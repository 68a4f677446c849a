"""Entries below `drops/`: each is read, skipped and counted, or refused by name."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from jobs.ingest import days, drops
from jobs.ingest.listing import NotComplete
from jobs.runtime.artifacts import DropsFolder
from jobs.runtime.errors import BrokenInput, NothingToDo

DAY, BEFORE = "2026-01-02", "2026-01-01"
ROWS = pl.DataFrame({"user_id": [1, 2], "book_id": [7, 8], "rating": [5, 3]})
PART = f"ratings/ds={DAY}/part-0.parquet"


@pytest.fixture
def source(tmp_path: Path) -> DropsFolder:
    """Two days of one file each."""
    for day in (BEFORE, DAY):
        _land(tmp_path, f"ratings/ds={day}/part-0.parquet")
    return DropsFolder(tmp_path)


def _land(root: Path, name: str, rows: pl.DataFrame = ROWS) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(path)


def _touch(root: Path, name: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def _found(source: DropsFolder, day: str = DAY) -> days.Found:
    return days.up_to(source, day, unchanged_ok=False)


@pytest.mark.parametrize(
    "name",
    [
        *("_SUCCESS", ".part-0.parquet.crc", "._part-0.parquet", ".DS_Store", "_metadata"),
        *("_committed_12", "part-0.parquet.tmp.crc", ".ipynb_checkpoints/part-0.parquet"),
    ],
)
@pytest.mark.parametrize("place", [f"ratings/ds={DAY}", "ratings", "", "catalogue"])
def test_markers_are_skipped_and_counted(source: DropsFolder, place: str, name: str) -> None:
    """In every folder, and they change nothing else."""
    before = _found(source)
    _touch(source.root / place, name)
    after = _found(source)
    assert (after.drops, after.catalogue) == (before.drops, before.catalogue)
    assert (before.markers, after.markers) == (0, 1)


@pytest.mark.parametrize(
    "name",
    [
        *(f"ratings/ds={DAY}/{name}" for name in ("a.csv", "a.parquet.gz", "000000_0", "_x.parquet")),
        *(f"ratings/ds={DAY}/{name}" for name in ("hour=00/a.parquet", "_delta_log/0.json")),
        *(f"ratings/ds={BEFORE}/{name}" for name in ("a.csv", "sub/_SUCCESS")),
        *("ratings/a.parquet", "ratings/date=2026-01-02/a.parquet", "ratings/day=2026-01-02/a.parquet"),
        *("ratings/DS=2026-01-02/a.parquet", "ratings/ds=2026-01-03", "notes.txt", "rating/ds=2026-01-02/a.parquet"),
        *("catalogue/Books.csv", "catalogue/books.csv.gz", "catalogue/ratings.csv", "catalogue/tags.csv/x"),
    ],
)  # fmt: skip
def test_an_entry_that_does_not_belong_is_refused_by_name(source: DropsFolder, name: str) -> None:
    """Other endings and names, folders in a day, files where folders are expected, in every folder."""
    _touch(source.root, name)
    with pytest.raises(BrokenInput) as refused:
        _found(source)
    parts = Path(name).parts
    known = {"ratings", "catalogue", f"ds={DAY}", f"ds={BEFORE}"}
    assert next(part for part in parts if part not in known) in refused.value.what
    assert refused.value.where.startswith(str(source.root))
    assert not isinstance(refused.value, NotComplete)


def test_several_are_named_together(source: DropsFolder) -> None:
    """Also what is still being written beside them."""
    for name in ("part-1.csv", "part-2.parquet.gz", "part-3.parquet.tmp"):
        _touch(source.root, f"ratings/ds={DAY}/{name}")
    with pytest.raises(BrokenInput) as refused:
        _found(source)
    for name in ("part-1.csv", "part-2.parquet.gz", "part-3.parquet.tmp"):
        assert name in refused.value.what
    assert [Path(one.name).name for one in days.seen(source, DAY)] == [
        *("part-0.parquet", "part-1.csv", "part-2.parquet.gz", "part-3.parquet.tmp")
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("part-1.parquet.tmp", "part-1.tmp.parquet", "_temporary/0/part-1.parquet", "a.parquet._COPYING_"),
        *("a.parquet.inprogress", ".part-0-0.inprogress.1a2b", "A.PART", ".spark-staging-1/x"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", [f"ratings/ds={DAY}", f"ratings/ds={BEFORE}", "ratings"])
def test_a_day_in_progress_is_not_complete(source: DropsFolder, place: str, name: str) -> None:
    """Refused as such, of an earlier day too; a later day in progress is not looked at."""
    _touch(source.root, f"{place}/{name}")
    with pytest.raises(NotComplete, match="not complete yet"):
        _found(source)
    if place.endswith(DAY):
        assert days.standing(source, DAY) == "in_progress"
        assert len(_found(source, BEFORE).drops) == 1


def test_what_a_days_drop_is_like(source: DropsFolder) -> None:
    """Absent without a folder or with hidden files only, complete with files, in progress without its marker."""
    (source.ratings / "ds=2026-01-03").mkdir()
    _touch(source.root, "ratings/ds=2026-01-03/.DS_Store")
    assert days.standing(DropsFolder(source.root / "none"), DAY) == "absent"
    assert [days.standing(source, day) for day in (DAY, "2026-01-03", "2026-01-04")] == [
        *("complete", "absent", "absent")
    ]
    assert days.standing(source, DAY, "done.flag") == "in_progress"
    _touch(source.root, f"ratings/ds={DAY}/done.flag")
    assert days.standing(source, DAY, "done.flag") == "complete"
    assert days.up_to(source, DAY, unchanged_ok=False, marker="done.flag").markers == 1
    with pytest.raises(NothingToDo):
        days.up_to(source, "2026-01-03", unchanged_ok=False, marker="done.flag")


def test_an_upper_case_ending_is_read(source: DropsFolder) -> None:
    """Files by name, whatever the case of their ending."""
    _land(source.root, f"ratings/ds={DAY}/PART-1.PARQUET")
    assert [drop.path.name for drop in _found(source).drops[1:]] == [
        *("PART-1.PARQUET", "part-0.parquet")
    ]


def test_empty_parts_are_skipped_beside_full_ones_only(source: DropsFolder) -> None:
    """Counted beside a full one; a day without a row, or of a marker alone, is refused, earlier days too."""
    _land(source.root, f"ratings/ds={DAY}/part-1.parquet", ROWS.head(0))
    found = _found(source)
    assert (len(found.drops), found.empty_parts) == (2, 1)
    _land(source.root, f"ratings/ds={BEFORE}/part-0.parquet", ROWS.head(0))
    with pytest.raises(BrokenInput, match="the drop is empty"):
        _found(source)
    (source.ratings / f"ds={BEFORE}" / "part-0.parquet").unlink()
    _touch(source.root, f"ratings/ds={BEFORE}/_SUCCESS")
    with pytest.raises(BrokenInput, match="marked as complete"):
        _found(source)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere.parquet")


@pytest.mark.parametrize("make", [_loop, _dangling, os.mkfifo], ids=["loop", "dangling", "pipe"])
@pytest.mark.parametrize("name", [f"ds={DAY}/a.parquet", "ds=2026-01-03"])
def test_links_to_nowhere_and_pipes_are_refused(
    source: DropsFolder, make: Callable[[Path], None], name: str
) -> None:
    """By name and without opening them: a pipe would wait for ever."""
    make(source.ratings / name)
    with pytest.raises(BrokenInput, match=Path(name).name):
        _found(source)


_AS_NOBODY = """
import os, sys
from pathlib import Path
from jobs.runtime.artifacts import DropsFolder
from jobs.ingest import days
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
for root in sys.argv[2:]:
    try:
        days.up_to(DropsFolder(Path(root)), sys.argv[1], unchanged_ok=True)
        print("read")
    except Exception as error:
        print(type(error).__name__, error.where, error.what)
"""


def test_what_may_not_be_read_is_refused() -> None:
    """A folder that cannot be listed is not an empty one, for a user without rights."""
    names = ["", "ratings", "catalogue", f"ratings/ds={BEFORE}", f"ratings/ds={DAY}", PART]
    # Not below pytest's own folder, which other users cannot enter.
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        roots = [Path(place) / str(number) for number in range(len(names) + 1)]
        for root, name in zip(roots, [*names, None], strict=True):
            (root / "catalogue").mkdir(parents=True)
            for day in (BEFORE, DAY):
                _land(root, f"ratings/ds={day}/part-0.parquet")
            if name is not None:
                (root / name).chmod(0)
        command = [sys.executable, "-c", _AS_NOBODY, DAY, *map(str, roots)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for root, name in zip(roots, names, strict=False):
            (root / name).chmod(0o755)
    lines = text.splitlines()
    for line, root, name in zip(lines, roots, names, strict=False):
        assert line.startswith(f"BrokenInput {root / name} "), line
        assert "cannot be read: Permission denied" in line
    assert lines[-1] == "read"


def test_rows_do_not_depend_on_how_they_were_cut_into_files(tmp_path: Path) -> None:
    """A day of one file and the same rows in three, one of them empty: the same cells, times and source rows."""
    rows = pl.DataFrame({"user_id": range(10), "book_id": range(10), "rating": [3] * 10})
    _land(tmp_path / "one", PART, rows)
    for name, start, length in (("a", 0, 4), ("b", 4, 0), ("c", 4, 6)):
        _land(tmp_path / "cut", f"ratings/ds={DAY}/{name}.parquet", rows.slice(start, length))
    whole, cut = (_rows(DropsFolder(tmp_path / name)) for name in ("one", "cut"))
    assert whole.equals(cut)
    assert whole["source_row"].to_list() == list(range(1, 11))


def _rows(source: DropsFolder) -> pl.DataFrame:
    found = _found(source).drops
    files = drops.of_files(found)
    read = pl.concat([batch for drop in found for batch in drops.batches(drop, files)])
    return read.drop("file", "row")
