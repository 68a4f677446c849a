"""Reading csv files: what makes no difference, and what is refused with its line."""

import gzip
from pathlib import Path

import pytest

from jobs.ingest import csv_file
from jobs.runtime.errors import BrokenInput


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
        b"a;b\n1;x\n2;y\n",
        b"\xef\xbb\xbfa\tb\r\n1\tx\r\n2\ty\r\n",
        b"a|b\n1|x\n2|y\n",
        b"sep=;\r\na;b\r\n1;x\r\n2;y\r\n",
        b'"sep=\t"\na\tb\n1\tx\n2\ty\n',
        b"sep=:\na:b\n1:x\n2:y\n",
        b"a,b\r1,x\r2,y\r",
        b"a,b\n1,x\n2,y\n\x1a",
        b"a,b\r1,x\r2,y",
        b"a,b\r\n1,x\r\n2,y",
        b"a,b\r\r\n1,x\r\r\n2,y\r\r\n",
        b"\n\na,b\n1,x\n2,y\n",
        b"A, B\n1,x\n2,y\n",
        b'"A " ,\xc2\xa0b,\n1,x,\n2,y,\n',
        b"a,b\n1,x,,\n2,y,  ,\n",
        b",a,b,\n0,1,x,\n1,2,y,\n",
        b"a,b,c,C\n1,x,3,4\n2,y,3,4\n",
        "\ufeffa,b\n1,x\n2,y\n".encode("utf-16-le"),
        "\ufeffa;b\r\n1;x\r\n2;y".encode("utf-16-be"),
        "\ufeffa,b\n1,x\n2,y\n".encode("utf-32-le"),
        gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0),
        gzip.compress(
            gzip.compress("\ufeffa\tb\n1\tx\n2\ty\n".encode("utf-16-le"), mtime=0), mtime=0
        ),
    ],
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
    assert csv_file.read(path, ("a", "b")).rows() == [("1", 'x, "y"\nžluť')]
    assert csv_file.count_rows(path) == 1


@pytest.mark.parametrize(
    ("content", "what", "line"),
    [
        (b"", "is empty", ""),
        (b"\n\n", "is empty", ""),
        (b"a,b\n1,x\n2", "cut off: line 3", ":3"),
        (b'a,b\n1,x\n2,"y', "is cut off", ":3"),
        (b'a,b\n1,x\n2,"y\n', "is cut off", ":3"),
        (b"a,b\n1,x\n2,\xe9\n3,y\n", "byte 0xe9 in line 3", ":3"),
        (b"\xef\xbb\xbfa,b\n1,\xff\n", "byte 0xff in line 2", ":2"),
        (b"a,b\n1,x\n2,y,z\n", "no csv file", ":3"),
        (b'a,b\n1,"x\ny"\n2,y\n3,y,z\n', "no csv file", ":5"),
        (b'a,b\n1,x\n2,"y\n3,z\n', "no csv file", ":3"),
        (b"a,c\n1,x\n", "no column b (it has a, c)", ":1"),
        (b"a:b\n1:x\n", "no column a, b (it has a:b)", ":1"),
        (b"1,2\n3,4\n", "no column a, b (it has 1, 2)", ":1"),
        (b"sep=;\na;c\n1;x\n", "no column b (it has a, c)", ":2"),
        (b"a,b,b\n1,x,y\n", "the column b more than once", ":1"),
        (b"a,b, B\n1,x,y\n", "the column b more than once", ":1"),
        (b"a,b\n1,4\n2,5,0,1,2\n", "line 3 has 5 fields, the header 2", ":3"),
        (b"a,b\n2,0,5,0\n", "a decimal comma splits a field: 2,0,5,0", ":2"),
        (b"a,b\n1,4\n2,5,0\n", "a decimal comma splits a field: 2,5,0", ":3"),
        (b"sep=;\na;b\n4,0;x\n5,0;y\n", "a decimal comma splits the field a: 4,0", ":3"),
        (b'a,b\n"4,5",x\n', "a decimal comma splits the field a: 4,5", ":2"),
        (b'a,b\n"1,059",x\n', "thousands separators stand in the field a: 1,059", ":2"),
        (b'a,b\n"1,059",x\n"4,0",x\n', "a decimal comma splits the field a: 1,059", ":2"),
        (b"PK\x03\x04......[Content_Types].xml", "an Excel workbook (.xlsx)", ""),
        (b"PK\x03\x04......ratings.csv", "a zip archive", ""),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls)", ""),
        (b"\x28\xb5\x2f\xfd....", "packed by zstd", ""),
        (b"PAR1....PAR1", "a parquet file", ""),
        (gzip.compress(b"file" + bytes(253) + b"ustar\x0000", mtime=0), "a tar archive", ""),
        (b"\n<!DOCTYPE html><html>404</html>", "an HTML page", ""),
        (b'<?xml version="1.0"?><a/>', "XML", ""),
        (b'[{"a": 1, "b": 2}]', "JSON", ""),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS", ""),
        ("a,b\n1,x\n".encode("utf-16-le"), "looks like utf-16-le", ""),
        ("a,b\n1,x\n".encode("utf-16-be"), "looks like utf-16-be", ""),
        ("\ufeffa,b\n1,x\n".encode("utf-16-le")[:-1], "is not utf-16", ":2"),
        ("a,b\n1,Márquez\n".encode("latin-1"), "it looks like latin-1", ":2"),
        ("a,b\n1,It’s\n".encode("cp1252"), "it looks like windows-1252", ":2"),
        (gzip.compress(b"a,b\n1,x\n", mtime=0)[:-9], "is cut off or broken", ""),
    ],
)
def test_a_broken_file_is_refused_with_its_line(
    tmp_path: Path, content: bytes, what: str, line: str
) -> None:
    """What, the file and the line, and something to do."""
    path = _write(tmp_path, content)
    with pytest.raises(BrokenInput) as refused:
        csv_file.read(path, ("a", "b"), numeric=("a",))
    assert what in refused.value.what
    assert refused.value.where == f"{path}{line}"
    assert refused.value.do


def test_a_bad_byte_in_the_header_is_refused(tmp_path: Path) -> None:
    """The header alone is looked at too."""
    with pytest.raises(BrokenInput, match="line 1"):
        csv_file.header(_write(tmp_path, b"a,b\xff\n1,x\n"))


def test_a_last_line_without_an_end_is_read_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once. A header alone, and an empty last cell, are complete too."""
    for content, rows in (
        (b"a,b\n1,x\n2,y", [("1", "x"), ("2", "y")]),
        (b"a,b\n1,x\n2,", [("1", "x"), ("2", None)]),
        (b'a,b\n1,x\n2,"y\n"', [("1", "x"), ("2", "y\n")]),
        (b"a,b", []),
    ):
        caplog.clear()
        assert csv_file.read(_write(tmp_path, content), ("a", "b")).rows() == rows
        assert [line.partition(": ")[2] for line in caplog.messages] == [
            "the last line has no end; it is read as it stands"
        ]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("It’s “nice”, García".encode("cp1252"), "windows-1252"),
        ("It’s “nice”, García".encode("cp1252"), "latin-1"),
        ("It’s “nice”, García".encode("utf-16-le"), "utf-16-le"),
        ("It’s “nice”, García".encode("mac-roman"), "mac-roman"),
        ("It’s “nice”, García".encode(), "windows-1252"),
    ],
)
def test_another_encoding_is_read_where_it_is_named(
    tmp_path: Path, content: bytes, encoding: str
) -> None:
    """Curly quotes stay curly quotes, also where latin-1 is named; a file in UTF-8 stays what it is."""
    start, end = "a\tb\n1\t", "\n"
    if encoding.startswith("utf-16"):
        start, end = (part.encode(encoding).decode("latin-1") for part in (start, end))
    path = _write(tmp_path, start.encode("latin-1") + content + end.encode("latin-1"))
    assert csv_file.read(path, ("b",), encoding).item() == "It’s “nice”, García"


def test_few_cells_with_a_decimal_comma_are_left_to_later_steps(tmp_path: Path) -> None:
    """They are bad rows like others."""
    path = _write(tmp_path, b"a;b\n1;x\n2,5;y\n3;z\n")
    assert csv_file.read(path, ("a",), numeric=("a",)).rows() == [("1",), ("2,5",), ("3",)]
