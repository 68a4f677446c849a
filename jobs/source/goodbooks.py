"""A Goodbooks folder as it is found: either public edition, read by column names.

In: a folder with `ratings.csv` (or `ratings.csv.gz`) and `books.csv`, optionally `tags.csv`, `book_tags.csv` and
`to_read.csv`. Out: polars frames whose cells are still text. Guarantees that a file which is missing, cut off,
not UTF-8, without a needed column or without a row is refused with its name, and that column order,
a byte-order mark and CRLF make no difference.
"""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobs.runtime.errors import BrokenInput
from schemas.tables import BOOK_ID, RATING, USER_ID

RATINGS = "ratings.csv"
BOOKS = "books.csv"
OPTIONAL = ("tags.csv", "book_tags.csv", "to_read.csv")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Goodbooks:
    """A folder whose files were found; `edition` is "current" or "first"."""

    folder: Path
    edition: str
    ratings: Path
    books: Path
    others: tuple[Path, ...]


def find(folder: Path) -> Goodbooks:
    """Return the Goodbooks files in `folder`. Raises BrokenInput when ratings or books are missing."""
    if not folder.is_dir():
        raise BrokenInput("no such folder", str(folder), "name a folder with a Goodbooks download")
    packed = folder / f"{RATINGS}.gz"
    ratings = packed if packed.is_file() else folder / RATINGS
    books = folder / BOOKS
    for path in (ratings, books):
        if not path.is_file():
            raise BrokenInput(f"{path.name} is missing", str(path), "complete the download")
    others = tuple(folder / name for name in OPTIONAL if (folder / name).is_file())
    edition = "first" if "id" in header(books) else "current"
    return Goodbooks(folder, edition, ratings, books, others)


def header(path: Path) -> list[str]:
    """Return the column names of a csv file. Raises BrokenInput as `read` does."""
    return read(path, (), text_only_first_line=True).columns


def read(
    path: Path, columns: tuple[str, ...], *, text_only_first_line: bool = False
) -> pl.DataFrame:
    """Return the named columns (all of them for none) of a csv file as text, in file order.

    Raises BrokenInput when the file cannot be read whole or lacks a column.
    """
    content = _bytes(path, first_line=text_only_first_line)
    try:
        frame = pl.read_csv(content, infer_schema=False, n_rows=0 if text_only_first_line else None)
    except pl.exceptions.PolarsError as error:
        raise BrokenInput(
            f"{path.name} is no csv file: {str(error).splitlines()[0]}",
            str(path),
            "fetch it again or repair the line",
        ) from error
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise BrokenInput(
            f"{path.name} has no column {', '.join(missing)} (it has {', '.join(frame.columns)})",
            str(path),
            "name the columns as upstream does: " + ", ".join(columns),
        )
    return frame.select(columns) if columns else frame


def read_ratings(source: Goodbooks) -> pl.DataFrame:
    """Return user_id, book_id and rating as text in file order. Raises BrokenInput, also for no rows at all."""
    frame = read(source.ratings, (USER_ID, BOOK_ID, RATING))
    if frame.is_empty():
        raise BrokenInput(
            f"{source.ratings.name} has a header and no ratings",
            str(source.ratings),
            "fetch it again; upstream's file has 5,976,479 rows",
        )
    return frame


def _bytes(path: Path, *, first_line: bool) -> bytes:
    raw = _unpacked(path)
    if not raw.strip():
        raise BrokenInput(f"{path.name} is empty", str(path), "fetch it again")
    raw = raw.removeprefix(_BYTE_ORDER_MARK)
    if first_line:
        return raw.split(b"\n", 1)[0] + b"\n"
    if not raw.endswith(b"\n"):
        line = raw.count(b"\n") + 1
        raise BrokenInput(
            f"{path.name} is cut off: line {line} has no end",
            f"{path}:{line}",
            "fetch it again; if the file is whole, end its last line with a newline",
        )
    _require_utf8(path, raw)
    return raw


def _unpacked(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            return gzip.decompress(path.read_bytes())
        return path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BrokenInput(
            f"{path.name} is cut off or broken: {error}", str(path), "fetch it again"
        ) from error


def _require_utf8(path: Path, raw: bytes) -> None:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BrokenInput(
            f"{path.name} is not UTF-8: byte {raw[error.start]:#04x} in line {line}",
            f"{path}:{line}",
            "convert the file, for example with iconv -f latin1 -t utf-8",
        ) from error
