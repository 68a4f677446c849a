"""The text of a file as UTF-8 with newlines between lines, whatever program wrote it.

In: a path. Out: bytes. Files packed by gzip, with a byte-order mark, in UTF-16, and with carriage returns between lines
are read by their content, not by their name. A file that is empty, cut off, in another encoding, or no text at all is
refused with what it looks like.
"""

import codecs
import gzip
import re
import zlib
from pathlib import Path

from jobs.runtime.errors import BrokenInput, WrongUsage

_GZIP = b"\x1f\x8b"
#: UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKED = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNPACK = "unpack it, and name the csv file inside as this one is named"
_EXPORT = "export the table as csv"
#: First bytes of what people rename to .csv, what it is, and what to do.
_OTHER_KINDS = (
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"PK\x05\x06", "an empty zip archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", _UNPACK),
    (b"BZh", "packed by bzip2", _UNPACK),
    (b"\xfd7zXZ\0", "packed by xz", _UNPACK),
    (b"\x04\x22\x4d\x18", "packed by lz4", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a rar archive", _UNPACK),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)", _EXPORT),
    (b"PAR1", "a parquet file", _EXPORT),
    (b"ARROW1", "an Arrow file", _EXPORT),
    (b"Obj\x01", "an Avro file", _EXPORT),
    (b"SQLite format 3\0", "a SQLite database", _EXPORT),
    (b"%PDF", "a PDF document", _EXPORT),
    (b"version https://git-lfs", "a pointer of Git LFS", "run `git lfs pull`"),
)
_TAR = (257, b"ustar")
_WORKBOOK = re.compile(rb"\[Content_Types\]\.xml|xl/|_rels/")
_END_OF_FILE = b"\x1a"  # as DOS programs write it
_LINE_END = re.compile(rb"\r*\n|\r")
_LATIN_1 = "iso8859-1"


def read(path: Path, encoding: str | None = None) -> bytes:
    """Return the text of a file without mark. `encoding` is that of files that are not UTF-8.

    Raises BrokenInput when the file is no text, and names what it looks like.
    """
    raw = _unpacked(path)
    if not raw.strip():
        raise BrokenInput(f"{path.name} is empty", str(path), "fetch it again")
    _refuse_other_kinds(path, raw)
    text = _utf8(path, raw, encoding).removesuffix(_END_OF_FILE)
    found = _LINE_END.search(text)
    end = found.group() if found else b"\n"
    if end == b"\r":
        return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    # Two of them are what a program in text mode makes of \r\n; the csv parser takes one away.
    return text.replace(end, b"\n") if end.count(b"\r") > 1 else text


def require_encoding(name: str | None) -> None:
    """Return if `name` is a text encoding or None. Raises WrongUsage."""
    try:
        b"a".decode(name or "utf-8")
    except UnicodeDecodeError:
        pass  # it takes two bytes or more for a character
    except LookupError as error:
        raise WrongUsage(
            f"there is no encoding {name}",
            "--encoding",
            "name one that Python knows, such as windows-1252, latin-1 or cp1250",
        ) from error


def _unpacked(path: Path) -> bytes:
    raw = path.read_bytes()
    while raw.startswith(_GZIP):
        try:
            raw = gzip.decompress(raw)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BrokenInput(
                f"{path.name} is cut off or broken: {error}", str(path), "fetch it again"
            ) from error
    return raw


def _refuse_other_kinds(path: Path, raw: bytes) -> None:
    start = raw.removeprefix(codecs.BOM_UTF8)[:512].lstrip().lower()
    found = next(((what, do) for mark, what, do in _OTHER_KINDS if raw.startswith(mark)), None)
    if raw.startswith(b"PK\x03\x04") and _WORKBOOK.search(raw[:4096]):
        found = ("an Excel workbook (.xlsx)", _EXPORT)
    elif raw[_TAR[0] :].startswith(_TAR[1]):
        found = ("a tar archive", _UNPACK)
    elif start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        found = ("an HTML page", "fetch it again; a server may have sent its error page")
    elif start.startswith(b"<"):
        found = ("XML", _EXPORT)
    elif start.startswith((b"{", b"[")):
        found = ("JSON", _EXPORT)
    if found:
        raise BrokenInput(f"{path.name} is no csv file but {found[0]}", str(path), found[1])


def _utf8(path: Path, raw: bytes, encoding: str | None) -> bytes:
    for mark, name in _MARKED:
        if raw.startswith(mark):
            return _decoded(path, raw, name)
    text = raw.removeprefix(codecs.BOM_UTF8)
    wide = _looks_wide(text)
    if wide is None:
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            if encoding is None:
                raise _no_utf8(path, text, error) from error
        else:
            return text
    elif encoding is None:
        raise BrokenInput(
            f"{path.name} looks like {wide} without its mark",
            str(path),
            f"give --encoding {wide} to replay, or convert it: iconv -f {wide} -t utf-8",
        )
    return _decoded(path, text, encoding)


def _looks_wide(text: bytes) -> str | None:
    """Return the encoding in which two bytes make a character of ASCII, if the first line looks like it."""
    sample = text[:64]
    if sample[1::2].count(0) * 4 >= len(sample):
        return "utf-16-le"
    return "utf-16-be" if sample[::2].count(0) * 4 >= len(sample) else None


def _decoded(path: Path, raw: bytes, encoding: str) -> bytes:
    try:
        if codecs.lookup(encoding).name == _LATIN_1:
            # What calls itself latin-1 is windows-1252 where it has curly quotes, as browsers know.
            encoding = "windows-1252"
        return raw.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BrokenInput(
            f"{path.name} is not {encoding}: {error.reason} in line {line}",
            f"{path}:{line}",
            "name another encoding, or fetch the file again",
        ) from error


def _no_utf8(path: Path, text: bytes, error: UnicodeDecodeError) -> BrokenInput:
    line = text.count(b"\n", 0, error.start) + 1
    what = f"{path.name} is not UTF-8: byte {text[error.start]:#04x} in line {line}"
    looks = _single_byte_encoding(text)
    if looks is None:
        return BrokenInput(what, f"{path}:{line}", "fetch it again, or convert it to UTF-8")
    return BrokenInput(
        f"{what}; it looks like {looks}",
        f"{path}:{line}",
        f"give --encoding {looks} to replay, or convert it: iconv -f {looks} -t utf-8",
    )


def _single_byte_encoding(text: bytes) -> str | None:
    """Return the encoding that a text looks like; None where most of it is UTF-8 all the same."""
    good = text.decode("utf-8", errors="ignore")
    broken = len(text) - len(good.encode())
    if sum(map(len, re.findall(r"[^\x00-\x7f]+", good))) > broken:
        return None
    if not re.search(rb"[\x80-\x9f]", text):
        return "latin-1"
    try:
        text.decode("windows-1252")
    except UnicodeDecodeError:
        return None
    return "windows-1252"
