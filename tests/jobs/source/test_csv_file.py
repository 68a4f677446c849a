"""Reading csv files: what makes no difference, and what is refused with its line."""

import gzip
from pathlib import Path

import pytest

from jobs.runtime.errors import BrokenInput
from jobs.source import csv_file


def _write(folder: Path, content: bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,x\n2,y\n",
        b"\xef\xbb\xbfa,b\n1,x\n2,y\n",
        b"a,b\r\n1,x\r\n2,y\r\n",
        b"a,b\n1,x\n2,y\n\n\n",
        b"a,b\r\n1,x\r\n2,y\r\n\r\n",
        b'"a","b"\n"1","x"\n2,"y"\n',
        b"b,a\nx,1\ny,2\n",
        b"c,b,a\n,x,1\n9,y,2\n",
    ],
    ids=["plain", "mark", "crlf", "blank end", "crlf end", "quotes", "order", "more columns"],
)
def test_the_same_cells_come_out(tmp_path: Path, content: bytes) -> None:
    """Cells by column name, as text."""
    frame = csv_file.read(_write(tmp_path, content), ("a", "b"))
    assert frame.rows() == [("1", "x"), ("2", "y")]


def test_a_packed_file_is_read(tmp_path: Path) -> None:
    """By its ending."""
    path = _write(tmp_path, gzip.compress(b"a,b\n1,x\n"), "file.csv.gz")
    assert csv_file.header(path) == ["a", "b"]
    assert csv_file.read(path, ("b",)).rows() == [("x",)]


def test_quoted_cells_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    """As titles of books do."""
    path = _write(tmp_path, 'a,b\n1,"x, ""y""\nžluť"\n'.encode())
    assert csv_file.read(path, ()).rows() == [("1", 'x, "y"\nžluť')]


@pytest.mark.parametrize(
    ("content", "what", "line"),
    [
        (b"", "is empty", ""),
        (b"\n\n", "is empty", ""),
        (b"a,b\n1,x\n2", "cut off: line 3", ":3"),
        (b"a,b", "cut off: line 1", ":1"),
        (b"a,b\n1,x\n2,\xe9\n3,y\n", "byte 0xe9 in line 3", ":3"),
        (b"\xef\xbb\xbfa,b\n1,\xff\n", "byte 0xff in line 2", ":2"),
        (b"a,b\n1,x\n2,y,z\n", "no csv file", ":3"),
        (b'a,b\n1,"x\ny"\n2,y\n3,y,z\n', "no csv file", ":5"),
        (b'a,b\n1,x\n2,"y\n3,z\n', "no csv file", ":3"),
        (b"a,c\n1,x\n", "no column b (it has a, c)", ":1"),
        (b"a;b\n1;x\n", "no column a, b (it has a;b)", ":1"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(
    tmp_path: Path, content: bytes, what: str, line: str
) -> None:
    """What, the file and the line, and something to do."""
    path = _write(tmp_path, content)
    with pytest.raises(BrokenInput) as refused:
        csv_file.read(path, ("a", "b"))
    assert what in refused.value.what
    assert refused.value.where == f"{path}{line}"
    assert refused.value.do


def test_a_bad_byte_in_the_header_is_refused(tmp_path: Path) -> None:
    """The header alone is looked at too."""
    with pytest.raises(BrokenInput, match="line 1"):
        csv_file.header(_write(tmp_path, b"a,b\xff\n1,x\n"))
