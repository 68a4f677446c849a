"""Fetch: upstream's release, or a folder, as a Goodbooks folder of our own.

In: the URL of a zip, or a folder. Out: a folder with the Goodbooks files and `fetched.json`, which says where they came
from. Guarantees complete files or none: a download that broke off is taken up where it ended if the server's file is
still the same, the zip's checksums are verified, and the folder appears under its name only when every file was read
as a Goodbooks file.
"""

import shutil
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3

from jobs.ingest import goodbooks, plain_text
from jobs.runtime.errors import BrokenInput, TryLater, WrongUsage
from jobs.runtime.files import making_folder, read_json, write_json
from jobs.runtime.progress import progress

UPSTREAM = "https://github.com/zygmuntz/goodbooks-10k/releases/download/v1.0/goodbooks-10k.zip"

#: Where a fetched folder came from: `{"from": URL or folder}`.
NOTE = "fetched.json"

_CHUNK_BYTES = 1 << 18
_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 10, 60
_FRUITLESS_ATTEMPTS = 5
_FIRST_WAIT_S = 0.5  # doubles with every fruitless attempt
_PARTIAL, _UNSATISFIABLE, _SERVER_ERRORS = 206, 416, 500


@dataclass(frozen=True)
class FetchResult:
    """What was fetched; `resumed_bytes` were there from an earlier attempt."""

    folder: str
    edition: str
    files: list[str]
    downloaded_bytes: int
    resumed_bytes: int
    reused: bool


def run(source: str, out: Path, encoding: str | None = None) -> FetchResult:
    """Fetch `source`, a URL or a folder, into the new folder `out`; `encoding` is that of files that are not UTF-8.

    What was fetched from there before is kept. Raises WrongUsage when `out` is something else, BrokenInput when what
    came is no Goodbooks data, TryLater when the network gave up (the part then stays for the next attempt) or
    the disk is full.
    """
    plain_text.require_encoding(encoding)
    is_url = source.lower().startswith(("http://", "https://"))
    source = source if is_url else str(Path(source).resolve())
    if out.exists():
        _require_from(source, out)
        return _outcome(out, encoding, 0, 0, reused=True)
    downloaded = resumed = 0
    with making_folder(out) as new:
        if is_url:
            archive = out.parent / f".{out.name}.zip.part"
            downloaded, resumed = download(source, archive)
            _take_over(source, archive, new, encoding)
        else:
            _copy(Path(source), new, encoding)
        write_json(new / NOTE, {"from": source})
    return _outcome(out, encoding, downloaded, resumed, reused=False)


def _require_from(source: str, out: Path) -> None:
    note = out / NOTE
    if not note.is_file():
        what = "the target exists and was not made by fetch"
    elif (earlier := _noted(note, "from")) != source:
        what = f"the target holds what was fetched from {earlier}"
    else:
        return
    raise WrongUsage(what, str(out), "name a new folder with --out, or remove this one")


def download(url: str, target: Path) -> tuple[int, int]:
    """Download `url` to `target`, continuing what an earlier attempt left there; return (new, resumed) bytes.

    Beside the target stands a note with the server's ETag or Last-Modified: a part is continued only under the same
    (If-Range, RFC 9110, 13.1.5). Raises TryLater after five attempts in a row without a new byte, or BrokenInput.
    """
    started_with = most = _size(target)
    fruitless, problem = 0, ""
    while fruitless < _FRUITLESS_ATTEMPTS:
        try:
            total = _attempt(url, target)
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            problem = str(error)
        except requests.RequestException as error:
            raise BrokenInput(f"the URL cannot be used: {error}", url, "check the URL") from error
        else:
            size = _size(target)
            if total is None or size == total:
                return size - min(started_with, size), min(started_with, size)
            problem = f"{size} of {total} bytes came"
        if _size(target) > most:
            most, fruitless = _size(target), 0
            continue
        fruitless += 1
        if fruitless < _FRUITLESS_ATTEMPTS:
            time.sleep(_FIRST_WAIT_S * 2 ** (fruitless - 1))
    raise TryLater(
        f"the download was interrupted and {_FRUITLESS_ATTEMPTS} attempts brought nothing more: {problem}",
        url,
        "run fetch again; it resumes where it ended",
    )


def _attempt(url: str, target: Path) -> int | None:
    """Make one request and return the complete file's size if the server told it."""
    have = _size(target)
    mark = _mark(target) if have else None
    # What is counted and continued are the file's own bytes.
    headers = {"Accept-Encoding": "identity"}
    if mark:
        headers |= {"Range": f"bytes={have}-", "If-Range": mark}
    timeout = (_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S)
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
        if answer.status_code == _UNSATISFIABLE:
            if answer.headers.get("Content-Range") == f"bytes */{have}":
                return have
            target.unlink()
            raise requests.ConnectionError("the server's file has changed")
        if answer.status_code >= _SERVER_ERRORS:
            raise requests.ConnectionError(f"HTTP {answer.status_code}")
        if not answer.ok:
            raise BrokenInput(
                f"the server says HTTP {answer.status_code} {answer.reason}", url, "check the URL"
            )
        continued = answer.status_code == _PARTIAL
        if continued and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            target.unlink()
            raise requests.ConnectionError("the server sent another part than it was asked for")
        if not continued:
            # A part must never stand beside the mark of another file.
            target.unlink(missing_ok=True)
        start = have if continued else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        write_json(_note(target), {"mark": _validator(answer)})
        with (
            target.open("ab") as file,
            progress(total, "fetch", "B", scaled=True) as bar,
        ):
            bar.update(start)
            # read1 gives what has come: nothing is lost when the connection ends in the middle of a chunk.
            while chunk := answer.raw.read1(_CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
        return total


def _validator(answer: requests.Response) -> str | None:
    tag = answer.headers.get("ETag", "")
    # A weak tag does not promise the same bytes.
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _size(target: Path) -> int:
    return target.stat().st_size if target.is_file() else 0


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _mark(target: Path) -> str | None:
    note = _note(target)
    return _noted(note, "mark")


def _noted(note: Path, name: str) -> str | None:
    """Return an entry of a note, None when it is missing or cannot be read."""
    try:
        return read_json(note).get(name)
    except ValueError:
        return None


def _take_over(url: str, archive: Path, new: Path, encoding: str | None) -> None:
    """Unpack a complete download and check it; then it is not needed any more, whatever came out."""
    try:
        _unpack(archive, new)
        _read_through(goodbooks.find(new, encoding))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        _discard(archive)
        raise BrokenInput(
            f"the download is a truncated zip, or none: {error}",
            url,
            "run fetch again; it starts from the beginning",
        ) from error
    except BrokenInput as error:
        _discard(archive)
        # The folder it was found in is about to go: name the file by where it came from.
        raise BrokenInput(error.what, f"{Path(error.where).name} in {url}", error.do) from error
    _discard(archive)


def _discard(archive: Path) -> None:
    archive.unlink()
    _note(archive).unlink(missing_ok=True)


def _unpack(archive: Path, new: Path) -> None:
    """Take the Goodbooks files out of a zip, whatever folder they are in; reading checks their checksums."""
    wanted = {goodbooks.RATINGS, goodbooks.BOOKS, *goodbooks.OPTIONAL}
    wanted |= {f"{name}.gz" for name in wanted}
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            name = Path(entry.filename).name
            if name in wanted and "samples" not in Path(entry.filename).parts:
                with packed.open(entry) as source, (new / name).open("wb") as file:
                    shutil.copyfileobj(source, file)


def _copy(source: Path, new: Path, encoding: str | None) -> None:
    found = goodbooks.find(source, encoding)
    _read_through(found)
    for path in found.files:
        shutil.copyfile(path, new / path.name)


def _read_through(found: goodbooks.Goodbooks) -> None:
    goodbooks.read_ratings(found)
    goodbooks.read_books(found.books, found.encoding)
    for path in found.others:
        goodbooks.read_other(path, found.encoding)


def _outcome(
    folder: Path, encoding: str | None, downloaded: int, resumed: int, *, reused: bool
) -> FetchResult:
    found = goodbooks.find(folder, encoding)
    names = [path.name for path in found.files]
    return FetchResult(str(folder), found.edition, names, downloaded, resumed, reused)
