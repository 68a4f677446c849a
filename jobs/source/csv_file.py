"""One csv file, read as text by column names.

In: a path, packed by gzip if it ends in `.gz`, and the names of columns. Out: a polars frame whose cells are text.
Guarantees that a file which is empty, cut off, not UTF-8, malformed or without a needed column is refused with
its name and, where there is one, the line; that column order, a byte-order mark, CRLF and empty lines at
the end make no difference.
"""

import csv
import gzip
import io
import zlib
from pathlib import Path

import polars as pl

from jobs.runtime.errors import BrokenInput

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_ENDS = b"\r\n"


def header(path: Path) -> list[str]:
    """Return the column names. Raises BrokenInput as `read` does."""
    first_line = _content(path).split(b"\n", 1)[0]
    _require_utf8(path, first_line)
    return _parsed(path, first_line + b"\n").columns


def read(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    """Return the named columns (all of them for none) as text, in file order; a missing cell is null.

    Raises BrokenInput when the file cannot be read whole or lacks a column.
    """
    content = _content(path)
    if not content.endswith(b"\n"):
        line = content.count(b"\n") + 1
        raise BrokenInput(
            f"{path.name} is cut off: line {line} has no end",
            f"{path}:{line}",
            "fetch it again; if the file is whole, end its last line with a newline",
        )
    if content[-3:].count(b"\n") > 1:
        content = content.rstrip(_LINE_ENDS) + b"\n"
    _require_utf8(path, content)
    frame = _parsed(path, content)
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise BrokenInput(
            f"{path.name} has no column {', '.join(missing)} (it has {', '.join(frame.columns)})",
            f"{path}:1",
            "name the columns as upstream does: " + ", ".join(columns),
        )
    return frame.select(columns) if columns else frame


def count_rows(path: Path) -> int:
    """Return the number of lines after the header of a csv file."""
    return max(path.read_bytes().count(b"\n") - 1, 0)


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BrokenInput(
            f"{path.name} is cut off or broken: {error}", str(path), "fetch it again"
        ) from error
    raw = raw.removeprefix(_BYTE_ORDER_MARK)
    if not raw.strip():
        raise BrokenInput(f"{path.name} is empty", str(path), "fetch it again")
    return raw


def _require_utf8(path: Path, content: bytes) -> None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BrokenInput(
            f"{path.name} is not UTF-8: byte {content[error.start]:#04x} in line {line}",
            f"{path}:{line}",
            "convert the file, for example with iconv -f latin1 -t utf-8",
        ) from error


def _parsed(path: Path, content: bytes) -> pl.DataFrame:
    try:
        return pl.read_csv(content, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        line = _malformed_line(content)
        place = "" if line is None else f":{line}"
        raise BrokenInput(
            f"{path.name} is no csv file: {str(error).splitlines()[0]}",
            f"{path}{place}",
            "fetch it again, or repair the quotes and commas of this line",
        ) from error


def _malformed_line(content: bytes) -> int | None:
    """Return the first line with more cells than the header or an open quote: polars names none."""
    rows = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
    width: int | None = None
    line = 1
    try:
        for cells in rows:
            if width is not None and len(cells) > width:
                return line
            width = width or len(cells)
            line = rows.line_num + 1
    except csv.Error:
        return line
    return None
