"""What the checks of 6 million ratings and 5.3 million list entries cost, beside the same questions asked of numpy.

Ratings are made by a rule (user u has rated book b where u + b is a multiple of 90), so that every check passes.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.model import settings as model_settings
from jobs.release.identity import InputFile, describe
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.files import write_json
from jobs.runtime.table_files import write_table
from schemas import sources
from schemas import tables as t

Report = Callable[..., None]

USERS, BOOKS, STEP, LENGTH = 53_424, 10_000, 90, 100

# Runs in a process of its own: the peak is that of one `nightshelf validate`. Importing Great Expectations is timed
# apart, since it does not grow with the data.
_VALIDATE = """
import json, os, sys, time
from pathlib import Path
import numpy as np
import pyarrow.parquet as pq
from jobs.pipeline import validate
from jobs.validation.bounds import Bounds
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.record import peak_memory_bytes
os.environ["GX_ANALYTICS_ENABLED"] = "False"
begin = time.monotonic()
import great_expectations
imported_s = time.monotonic() - begin
folder, table, reference = ReleaseFolder(Path(sys.argv[1])), sys.argv[2], ReleaseFolder(Path(sys.argv[3]))
begin = time.monotonic()
made = validate.run(folder, table, reference, bounds=Bounds(), max_reject_share=0.05, run_by="bench")
validate_s = time.monotonic() - begin
peak = peak_memory_bytes()
begin = time.monotonic()
rows = pq.read_table(folder.interactions, columns=["user_id", "book_id", "rating"])
user, book, rating = (rows[name].to_numpy() for name in ("user_id", "book_id", "rating"))
key = user.astype(np.uint64) << np.uint64(32) | book.astype(np.uint64)
key.sort()
assert not (key[1:] == key[:-1]).any() and rating.min() >= 1 and rating.max() <= 5
floor_s = time.monotonic() - begin
print(json.dumps({"imported_s": imported_s, "validate_s": validate_s, "floor_s": floor_s, "peak": peak,
                  "expectations": made.expectations}))
"""


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReleaseFolder, ReleaseFolder]:
    """A full-size release and the one of the day before."""
    root = tmp_path_factory.mktemp("full")
    return write_full(root, "2026-03-02"), write_full(root, "2026-03-01")


def write_full(root: Path, partition: str) -> ReleaseFolder:
    """Write a release of 5.9 million ratings and 5.3 million list entries."""
    begun = describe(
        partition,
        (InputFile("ratings", 1, partition),),
        model_settings.as_mapping(model_settings.load(None)),
        {},
        time_ordered=True,
        drops=root,
    )
    folder = ReleaseFolder(root / begun["release"])
    folder.root.mkdir()
    write_json(folder.inputs, begun)
    raters = [np.arange(STEP - book % STEP, USERS + 1, STEP) for book in range(1, BOOKS + 1)]
    user_ids = np.concatenate(raters).astype(np.int32)
    book_ids = np.repeat(np.arange(1, BOOKS + 1, dtype=np.int32), [len(some) for some in raters])
    count = len(user_ids)
    begin = np.datetime64(partition, "us")
    arrived = begin + (np.arange(count) * (86_400_000_000 // count)).astype("timedelta64[us]")
    rows = {
        t.USER_ID: user_ids,
        t.BOOK_ID: book_ids,
        t.RATING: (1 + (3 * user_ids + book_ids) % 5).astype(np.int8),
        t.ARRIVED_AT: pa.array(arrived).cast(t.INSTANT),
        t.SOURCE_ROW: np.arange(1, count + 1),
    }
    write_table(folder.interactions, pa.table(rows, schema=t.INTERACTIONS), t.INTERACTIONS)
    write_table(folder.rejects, t.REJECTS.empty_table(), t.REJECTS)
    cards = {
        t.BOOK_ID: np.arange(1, BOOKS + 1, dtype=np.int32),
        t.GOODREADS_BOOK_ID: np.arange(1, BOOKS + 1),
        t.TITLE: [f"Title {book}" for book in range(BOOKS)],
        t.AUTHORS: [["Somebody"]] * BOOKS,
        t.YEAR: np.full(BOOKS, 2000, dtype=np.int32),
        t.LANGUAGE: ["eng"] * BOOKS,
        t.GENRES: [["fantasy"]] * BOOKS,
        t.TO_READ_COUNT: np.zeros(BOOKS, dtype=np.int32),
    }
    write_table(folder.books, pa.table(cards, schema=t.BOOKS), t.BOOKS)
    _write_lists(folder)
    return folder


def _write_lists(folder: ReleaseFolder) -> None:
    """Write lists of books that a user has not rated: those where u + b leaves 1."""
    owners = np.arange(1, USERS + 1, dtype=np.int32)
    first = (STEP + 1 - owners % STEP) % STEP
    books = np.where(first == 0, STEP, first)[:, None] + STEP * np.arange(LENGTH)
    others = np.arange(1, BOOKS + 1, dtype=np.int32)
    near = (others[:, None] + np.arange(LENGTH)) % BOOKS + 1
    made = {t.USER_ID: owners, t.SOURCE: [sources.ALS] * USERS}
    write_table(folder.lists, pa.table({**made, **_ranked(books)}), t.LISTS)
    write_table(folder.similar, pa.table({t.BOOK_ID: others, **_ranked(near)}), t.SIMILAR)
    popular = np.tile(np.arange(1, LENGTH + 1), (2, 1))
    tags = {t.TAG: [t.ALL_BOOKS, "fantasy"], **_ranked(popular)}
    write_table(folder.popularity, pa.table(tags), t.POPULARITY)


def _ranked(books: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> dict[str, pa.Array]:
    lists, length = books.shape
    offsets = pa.array(np.arange(lists + 1, dtype=np.int32) * length)
    scores = np.tile(1 - np.arange(length, dtype=np.float32) / 128, lists)
    return {
        t.BOOK_IDS: pa.ListArray.from_arrays(offsets, pa.array(books.astype(np.int32).ravel())),
        t.SCORES: pa.ListArray.from_arrays(offsets, pa.array(scores)),
    }


@pytest.mark.bench
@pytest.mark.parametrize("table", ["interactions", "lists"])
def test_validate(
    releases: tuple[ReleaseFolder, ReleaseFolder], table: str, report: Report
) -> None:
    """Judging a full-size table, its files and pages included, takes seconds and stays below 1.2 GB."""
    release, reference = releases
    arguments = [str(release.root), table, str(reference.root)]
    done = subprocess.run(
        [sys.executable, "-c", _VALIDATE, *arguments], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    name = f"validate {table}, {found['expectations']} checks"
    report(name, found["validate_s"], "s", "<= 8" if table == "interactions" else "")
    report(
        f"{name} / read, ranges and repeats in numpy", found["validate_s"] / found["floor_s"], "x"
    )
    report(f"{name}: peak memory", found["peak"] / 1e9, "GB", "<= 1.2")
    report("import of Great Expectations", found["imported_s"], "s")
