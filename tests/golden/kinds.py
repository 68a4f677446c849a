"""Frozen inputs of several kinds, and the rows and lists that this code makes of them, as text.

In: the name of a kind and an empty folder. Out: one mapping of texts: digests of what extract accepts and rejects, and
every list with its scores. Inputs follow from literals in this tree alone; the lists are those of the steps themselves.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from jobs.ingest import replay
from jobs.model import settings as model_settings
from jobs.pipeline import extract, recommend, train
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from schemas import tables as t
from tests.harness import excerpts

Lists = dict[str, Any]

_DAYS = date(2026, 1, 1), date(2026, 1, 3)
_LAST = str(_DAYS[1])
_BOOKS = 12


def _current(root: Path) -> None:
    _replayed(root, excerpts.write_current(root / "source"))


def _old_edition(root: Path) -> None:
    """Five books, and rows that come twice."""
    _replayed(root, excerpts.write_old(root / "source"))


def _odd_rows(root: Path) -> None:
    """Bad rows of every reason, ratings that are changed, readers who like nothing, and one with a single book left."""
    source = excerpts.write_current(root / "source")
    known = [1, 2, 3, 4, 5, 7, 8, 9, 10, 13, 14, 16]
    rows = [
        f"{user},{known[(user * 5 + place * 7) % _BOOKS]},{1 + (user + place * place) % 5}"
        for place in range(6)
        for user in range(1, 21)
    ]
    rows += [f"21,{book},2" for book in known[:5]]
    rows += [f"22,{book},{3 + book % 3}" for book in (*range(1, 6), *range(7, 11), 13, 14, 16, 17)]
    rows += [f"22,{book},5" for book in (18, 20, 21, 23, 24, 25, 26, 27, 28, 31)]
    rows += [
        "23,1,6",
        "23,1,x",
        "23,,4",
        "23,999,4",
        "0,1,4",
        "24,8,5",
        "24,8,1",
        "24,9,4",
        "24,9,4",
    ]
    text = "user_id,book_id,rating\n" + "".join(f"{row}\n" for row in rows)
    (source / "ratings.csv").write_text(text, encoding="utf-8")
    _replayed(root, source)


def _landed(root: Path) -> None:
    """Days of several files as a source lands them: with and without times, undated corrections, other types."""
    drops = Artifacts(root).drops
    source = excerpts.write_current(root / "source")
    drops.catalogue.mkdir(parents=True)
    for path in source.glob("*.csv"):
        if path.name != "ratings.csv":
            (drops.catalogue / path.name).write_bytes(path.read_bytes())
    rows = pl.read_csv(source / "ratings.csv")
    first, second, third = rows[:200], rows[200:300], rows[300:]
    late = pl.datetime(2026, 1, 2, 21) - pl.duration(minutes=pl.int_range(pl.len()))
    for day, name, frame in (
        ("2026-01-01", "a.parquet", first),
        ("2026-01-02", "a.parquet", second.with_columns(arrived_at=late)),
        ("2026-01-02", "b.parquet", second.with_columns(rating=6 - pl.col("rating"))[:40]),
        ("2026-01-03", "a.parquet", third.cast(pl.String)),
        ("2026-01-03", "b.parquet", third.with_columns(rating=pl.lit(4))[10:30]),
    ):
        folder = drops.ratings / f"ds={day}"
        folder.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(folder / name)


def _replayed(root: Path, source: Path) -> None:
    replay.run(source, Artifacts(root).drops, *_DAYS, 0.5)


#: Each kind: how its drops are made, and the engine. Two stages have too few cases here: ALS and the shelf rules.
KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "als": (_current, "als"),
    "ease": (_current, "ease"),
    "old_edition": (_old_edition, "als"),
    "odd_rows_als": (_odd_rows, "als"),
    "odd_rows_ease": (_odd_rows, "ease"),
    "landed": (_landed, "als"),
    "two_stage": (_current, "two_stage"),
}


def computed(kind: str, root: Path) -> Lists:
    """Return what this code makes of a kind: `rows` by table as digests, and lists by what they are for."""
    land, engine = KINDS[kind]
    land(root)
    artifacts = Artifacts(root)
    begun = extract.run(
        artifacts.drops,
        artifacts.releases,
        _LAST,
        model_settings.load(None, engine),
        max_reject_share=0.5,
        run_by="golden",
    )
    folder = artifacts.release(begun.release)
    train.run(folder, "golden")
    recommend.run(folder, "golden")
    return {
        "rows": {
            path.stem: _digest(path)
            for path in (folder.interactions, folder.books, folder.to_read, folder.rejects)
        },
        **_lists(folder),
    }


def _lists(folder: ReleaseFolder) -> dict[str, dict[str, str]]:
    users, popular, similar = map(
        pl.read_parquet, (folder.lists, folder.popularity, folder.similar)
    )
    return {
        "users": {
            str(row[t.USER_ID]): f"{row[t.SOURCE]} {_text(row)}" for row in users.rows(named=True)
        },
        "popularity": {row[t.TAG]: _text(row) for row in popular.rows(named=True)},
        "similar": {str(row[t.BOOK_ID]): _text(row) for row in similar.rows(named=True)},
    }


def _text(row: dict[str, Any]) -> str:
    pairs = zip(row[t.BOOK_IDS], row[t.SCORES], strict=True)
    return " ".join(f"{book}:{score:.6g}" for book, score in pairs)


def _digest(path: Path) -> str:
    """Return the SHA-256 of a table's rows as JSON: of the content, whatever version wrote the file."""
    frame = pl.read_parquet(path)
    text = json.dumps([frame.columns, *frame.rows()], default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
