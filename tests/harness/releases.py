"""Tiny whole releases, written straight from the schemas, for tests of the store and of the edge.

In: an artifacts folder, a partition and a few choices. Out: a release folder as the steps leave it, its checks passed
and its verdict given. Guarantees that the lists follow from the arguments alone, so that a test can say
by hand what each user must get: user u's list starts at book 1 + (u + variant) % books and goes up, wrapping
round, with scores 1, 1/2, 1/3 ... rounded to float16.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from jobs.model import settings as model_settings
from jobs.release.identity import InputFile, describe
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.files import write_json
from jobs.runtime.table_files import write_table
from jobs.validation import result
from schemas import sources, tables

LENGTH = 10


def list_of(user: int, variant: int = 0, books: int = 40, length: int = LENGTH) -> list[int]:
    """Return the books of a user's list, best first."""
    return [1 + (user + variant + place) % books for place in range(length)]


def scores_of(length: int = LENGTH) -> list[float]:
    """Return the scores of every list, best first."""
    return [float(np.float16(1 / (place + 1))) for place in range(length)]


def write_release(
    root: Path,
    partition: str,
    *,
    users: int = 30,
    books: int = 40,
    variant: int = 0,
    verdict: str = "go",
    short_history: tuple[int, ...] = (),
    exhausted: tuple[int, ...] = (),
    length: int = LENGTH,
    engine: str = sources.ALS,
) -> ReleaseFolder:
    """Write a release with users 1 to `users` under the artifacts folder `root` and return its folder.

    The lists of `exhausted` users are empty. Another `variant` gives other lists and another id; the popularity lists
    name books 1, 2, 3 ... after `variant`.
    """
    settings = model_settings.load(None, engine)
    inputs = (InputFile(f"ratings/{partition}-{variant}-{users}-{books}", users, f"{variant:064}"),)
    begun = describe(
        partition,
        inputs,
        model_settings.as_mapping(settings),
        {},
        time_ordered=True,
        drops=root / "drops",
    )
    folder = Artifacts(root).release(begun["release"])
    write_json(folder.inputs, begun)
    _write_inputs(folder, partition, users, books)
    _write_lists(
        folder,
        users,
        books,
        variant,
        short_history=short_history,
        exhausted=exhausted,
        length=length,
        engine=engine,
    )
    moment = f"{partition}T12:00:00+00:00"
    counts = {"data_as_of": moment, "trained_at": moment, "rows_in": users, "rows_accepted": users}
    for step in ("extract", "train", "evaluate", "recommend"):
        write_json(folder.records / f"{step}.json", {"step": step, "counts": counts})
    write_json(folder.evaluation, {"metrics": {}})
    decision = {
        "release": folder.release,
        "verdict": verdict,
        "reasons": [{"code": "planted", "text": f"this test wants {verdict}"}],
        "reference": None,
    }
    write_json(folder.decision, decision)
    pass_checks(folder)
    return folder


def pass_checks(folder: ReleaseFolder) -> None:
    """Write results of passed validations over the files as they are now."""
    for table in result.TABLES:
        passed = result.Result(
            release=folder.release,
            table=table,
            reference=None,
            status="passed",
            outcomes=(),
            judged=result.digests(folder, table),
            bounds={},
            facts={},
        )
        result.write(folder, passed, {})


def _write_inputs(folder: ReleaseFolder, partition: str, users: int, books: int) -> None:
    instant = np.datetime64(f"{partition}T12:00:00", "us")
    rows = {
        tables.USER_ID: np.arange(1, users + 1, dtype=np.int32),
        tables.BOOK_ID: np.full(users, books, dtype=np.int32),
        tables.RATING: np.full(users, 5, dtype=np.int8),
        tables.ARRIVED_AT: pa.array(np.full(users, instant)).cast(tables.INSTANT),
        tables.SOURCE_ROW: np.arange(1, users + 1),
    }
    write_table(folder.interactions, pa.table(rows), tables.INTERACTIONS)
    cards = [
        {
            tables.BOOK_ID: book,
            tables.GOODREADS_BOOK_ID: 1000 + book,
            tables.TITLE: f"Book {book}",
            tables.AUTHORS: [f"Author {book}"],
            tables.YEAR: 2000 + book % 20,
            tables.LANGUAGE: "eng",
            tables.GENRES: ["fantasy"] if book % 2 else ["history"],
            tables.TO_READ_COUNT: book,
        }
        for book in range(1, books + 1)
    ]
    write_table(folder.books, pa.Table.from_pylist(cards, tables.BOOKS), tables.BOOKS)
    write_table(folder.rejects, tables.REJECTS.empty_table(), tables.REJECTS)
    write_table(folder.to_read, tables.TO_READ.empty_table(), tables.TO_READ)


def _write_lists(
    folder: ReleaseFolder,
    users: int,
    books: int,
    variant: int,
    *,
    short_history: tuple[int, ...],
    exhausted: tuple[int, ...],
    length: int,
    engine: str,
) -> None:
    lists = [
        {
            tables.USER_ID: user,
            tables.SOURCE: sources.POPULARITY if user in short_history else engine,
            tables.BOOK_IDS: [] if user in exhausted else list_of(user, variant, books, length),
            tables.SCORES: [] if user in exhausted else scores_of(length),
        }
        for user in range(1, users + 1)
    ]
    write_table(folder.lists, pa.Table.from_pylist(lists, tables.LISTS), tables.LISTS)
    popular = [
        {
            tables.TAG: tag,
            tables.BOOK_IDS: list_of(0, variant, books, length),
            tables.SCORES: scores_of(length),
        }
        for tag in (tables.ALL_BOOKS, "fantasy", "history")
    ]
    popularity = pa.Table.from_pylist(popular, tables.POPULARITY)
    write_table(folder.popularity, popularity, tables.POPULARITY)
    similar = [
        {
            tables.BOOK_ID: book,
            tables.BOOK_IDS: list_of(book, variant, books, length),
            tables.SCORES: scores_of(length),
        }
        for book in range(1, books + 1)
    ]
    write_table(folder.similar, pa.Table.from_pylist(similar, tables.SIMILAR), tables.SIMILAR)


def reread(path: Path) -> dict[str, object]:
    """Return a JSON file's content."""
    content: dict[str, object] = json.loads(path.read_text("utf-8"))
    return content
