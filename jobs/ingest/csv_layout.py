"""How a csv file is laid out: its delimiter and the names of its columns.

In: a path. Out: the content from the header on, the delimiter and the names. The delimiter is what a first line `sep=`
says, or that of `,` `;` tab `|` which stands most often in the header.
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from jobs.ingest import plain_text

_DELIMITERS = (b",", b";", b"\t", b"|")
_SEPARATOR_LINE = re.compile(rb'"?sep=([\x01-\x7f])"?[\s,;]*', re.IGNORECASE)
_QUOTED = re.compile(rb'"[^"]*"')
_LINE_ENDS = b"\r\n"
_HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class CsvFile:
    """A file's content from its header on; the header is line `line`, `names` are its columns in lower case."""

    path: Path
    content: bytes
    line: int
    separator: str
    names: tuple[str, ...]


def open_csv(path: Path, encoding: str | None) -> CsvFile:
    """Return how a file is laid out. Raises BrokenInput when it is no text."""
    text = plain_text.read(path, encoding)
    content = text.lstrip(_LINE_ENDS)
    line = text[: len(text) - len(content)].count(b"\n") + 1
    first, _, rest = content.partition(b"\n")
    said = _SEPARATOR_LINE.fullmatch(first)
    if said:
        content, line = rest, line + 1
        first = content.partition(b"\n")[0]
        separator = said.group(1)
    else:
        bare = _QUOTED.sub(b"", first)
        separator = max(_DELIMITERS, key=bare.count)
    if content[-3:].count(b"\n") > 1:
        content = content.rstrip(_LINE_ENDS) + b"\n"
    start = io.StringIO(content[:_HEADER_BYTES].decode(errors="ignore"), newline="")
    cells = next(csv.reader(start, delimiter=separator.decode()), [])
    names = tuple(column_name(cell) for cell in cells)
    return CsvFile(path, content, line, separator.decode(), names)


def column_name(written: str) -> str:
    """Return the name of a column however a source writes it: in lower case, without spaces around it."""
    return written.strip(' \t\r\xa0\ufeff"').lower()
