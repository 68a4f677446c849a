"""Fetching from a server that breaks off, ignores ranges, changes its file or has nothing."""

import http.server
import io
import json
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jobs.ingest import fetch
from jobs.runtime.errors import BrokenInput, TryLater, WrongUsage
from tests.harness import excerpts, small_disk
from tests.harness.landing import NIGHTSHELF


@dataclass
class Server:
    """What the server serves, how it misbehaves, and what it was asked.

    `breaks` are numbers of bytes after which the next answers break off; `shift` is where a part really begins
    after the place that was asked for; without `length` an answer ends where the connection ends.
    """

    content: bytes
    tag: str | None = '"one"'
    breaks: list[int] = field(default_factory=list)
    ranges: bool = True
    shift: int = 0
    length: bool = True
    status: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(fetch, "_FIRST_WAIT_S", 0.0)


def _packed(source: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(source.iterdir()):
            archive.write(path, f"goodbooks-10k/{path.name}")
        archive.writestr("goodbooks-10k/samples/ratings.csv", "not,this,one\n")
    return packed.getvalue()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A real HTTP server with a zip of the excerpt."""
    state = Server(_packed(excerpts.write_current(tmp_path / "source")))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            state.asked.append(asked)
            if state.status:
                self.send_error(state.status.pop(0))
                return
            start = 0
            if asked and state.ranges and self.headers.get("If-Range") == state.tag:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
            size = len(state.content)
            if start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                start += state.shift
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            body = state.content[start:]
            if state.tag:
                self.send_header("ETag", state.tag)
            if state.length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.breaks.pop(0)] if state.breaks else body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # its signature
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{running.server_port}/goodbooks.zip"
    yield state
    running.shutdown()
    thread.join()
    running.server_close()


def _is_whole(folder: Path, tmp_path: Path) -> None:
    """Check that every file came over and nothing else is left beside the folder."""
    for path in (tmp_path / "source").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_a_broken_download_goes_on_where_it_ended(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two breaks in the middle: three requests, the later two for the rest only, whole files at the end."""
    server.breaks = [1000, 500]
    outcome = fetch.run(server.url, tmp_path / "out")
    assert server.asked == ["", "bytes=1000-", "bytes=1500-"]
    assert (outcome.downloaded_bytes, outcome.resumed_bytes) == (len(server.content), 0)
    assert "fetch: 100%" in capsys.readouterr().err
    _is_whole(tmp_path / "out", tmp_path)


def test_a_line_that_keeps_breaking_is_enough(server: Server, tmp_path: Path) -> None:
    """Twenty breaks: as long as each attempt brings something, the download goes on."""
    server.breaks = [100] * 20
    fetch.run(server.url, tmp_path / "out")
    assert server.asked[-1] == "bytes=2000-"
    _is_whole(tmp_path / "out", tmp_path)


def test_a_download_goes_on_in_a_later_run(server: Server, tmp_path: Path) -> None:
    """A run whose attempts bring nothing more leaves its part and no folder; the next takes it up."""
    server.breaks = [1000, 0, 0, 0, 0, 0]
    with pytest.raises(TryLater, match="was interrupted"):
        fetch.run(server.url, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    outcome = fetch.run(server.url, tmp_path / "out")
    assert (server.asked[-1], outcome.resumed_bytes) == ("bytes=1000-", 1000)
    assert outcome.downloaded_bytes == len(server.content) - 1000
    _is_whole(tmp_path / "out", tmp_path)


def test_a_download_that_had_ended_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    """Dead between the last byte and the unpacking: the server is asked for the rest, of which there is none."""
    part = tmp_path / ".out.zip.part"
    part.write_bytes(server.content)
    (tmp_path / ".out.zip.part.json").write_text(json.dumps({"mark": server.tag}))
    assert fetch.run(server.url, tmp_path / "out").downloaded_bytes == 0
    _is_whole(tmp_path / "out", tmp_path)


@pytest.mark.parametrize("tag", ['"two"', 'W/"one"', None], ids=["another", "weak", "none"])
def test_a_changed_file_is_fetched_anew(server: Server, tmp_path: Path, tag: str | None) -> None:
    """A part of another file, or of one that cannot be told, is not continued."""
    server.breaks = [1000, 0, 0, 0, 0, 0]
    server.tag = '"one"' if tag == '"two"' else tag
    with pytest.raises(TryLater):
        fetch.run(server.url, tmp_path / "out")
    server.tag = tag
    (tmp_path / "source" / "tags.csv").write_text("tag_id,tag_name\n1,changed\n")
    server.content = _packed(tmp_path / "source")
    fetch.run(server.url, tmp_path / "out")
    _is_whole(tmp_path / "out", tmp_path)


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    """The whole file comes again and is not appended to the part."""
    server.breaks, server.ranges = [1500], False
    fetch.run(server.url, tmp_path / "out")
    assert len(server.asked) == 2
    _is_whole(tmp_path / "out", tmp_path)


def test_a_part_that_begins_elsewhere_is_not_appended(server: Server, tmp_path: Path) -> None:
    """The server sends other bytes than it was asked for: begin anew."""
    server.breaks, server.shift = [1000], 7
    fetch.run(server.url, tmp_path / "out")
    assert server.asked == ["", "bytes=1000-", ""]
    _is_whole(tmp_path / "out", tmp_path)


def test_a_server_that_fails_for_a_while_is_asked_again(server: Server, tmp_path: Path) -> None:
    """503 twice, then the file."""
    server.status = [503, 503]
    fetch.run(server.url, tmp_path / "out")
    _is_whole(tmp_path / "out", tmp_path)


def test_a_missing_file_is_told(server: Server, tmp_path: Path) -> None:
    """404 is an error of the input, not of the network: one request, exit code 4."""
    server.status = [404]
    with pytest.raises(BrokenInput, match="HTTP 404"):
        fetch.run(server.url, tmp_path / "out")
    assert len(server.asked) == 1


def test_nobody_listening_is_told(tmp_path: Path) -> None:
    """A refused connection may be better later: exit code 1."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x.zip"
        with pytest.raises(TryLater) as text:
            fetch.run(url, tmp_path / "out")
    assert text.value.where == url


def test_a_url_that_is_none_is_told(tmp_path: Path) -> None:
    """A slip in the URL is no broken network."""
    with pytest.raises(BrokenInput, match="URL"):
        fetch.run("http://[", tmp_path / "out")


@pytest.mark.parametrize("cut", [True, False])
def test_what_is_no_whole_zip_is_refused(server: Server, tmp_path: Path, *, cut: bool) -> None:
    """A page instead of the zip, or a zip that ended without the server saying so: no folder, no part is left."""
    server.length = False
    server.content = server.content[:3000] if cut else b"<html>please log in</html>"
    with pytest.raises(BrokenInput, match="truncated zip") as text:
        fetch.run(server.url, tmp_path / "out")
    assert text.value.where == server.url
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_a_damaged_file_in_the_zip_is_refused(server: Server, tmp_path: Path) -> None:
    """A byte that flipped on the way fails the zip's checksum."""
    place = server.content.index(b"ratings.csv") + 200
    flipped = bytes([server.content[place] ^ 0xFF])
    server.content = server.content[:place] + flipped + server.content[place + 1 :]
    with pytest.raises(BrokenInput, match="truncated zip"):
        fetch.run(server.url, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_zip_with_other_files_is_refused(server: Server, tmp_path: Path) -> None:
    """Whole, but no Goodbooks release; the error names the file and where it should have come from."""
    (tmp_path / "source" / "books.csv").unlink()
    server.content = _packed(tmp_path / "source")
    with pytest.raises(BrokenInput, match="is missing") as text:
        fetch.run(server.url, tmp_path / "out")
    assert text.value.where == f"books.csv in {server.url}"
    assert not (tmp_path / "out").exists()


def test_a_folder_is_copied_once(tmp_path: Path) -> None:
    """A folder comes over whole, and again it is recognised."""
    source = excerpts.write_current(tmp_path / "source")
    outcome = fetch.run(str(source), tmp_path / "out")
    assert (outcome.edition, outcome.reused) == ("current", False)
    _is_whole(tmp_path / "out", tmp_path)
    assert fetch.run(str(source), tmp_path / "out").reused


def test_another_target_is_not_touched(tmp_path: Path) -> None:
    """An empty folder, a folder of somebody's, and what came from elsewhere: exit code 2, all as it was."""
    source = excerpts.write_current(tmp_path / "source")
    fetch.run(str(source), tmp_path / "out")
    (tmp_path / "empty").mkdir()
    other = excerpts.write_old(tmp_path / "other")
    for wanted, target in (
        (source, tmp_path / "empty"),
        (source, other),
        (other, tmp_path / "out"),
    ):
        before = {path: path.read_bytes() for path in target.iterdir()}
        with pytest.raises(WrongUsage):
            fetch.run(str(wanted), target)
        assert {path: path.read_bytes() for path in target.iterdir()} == before


def test_a_broken_folder_is_refused(tmp_path: Path) -> None:
    """The error names the file where it stands, not a copy."""
    source = excerpts.write_current(tmp_path / "source")
    (source / "book_tags.csv").write_text("goodreads_book_id,tag_id,count\n1,2")
    with pytest.raises(BrokenInput, match="cut off") as text:
        fetch.run(str(source), tmp_path / "out")
    assert text.value.where == f"{source / 'book_tags.csv'}:2"
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_told_and_the_part_stays(server: Server, tmp_path: Path) -> None:
    """A download that does not fit: exit code 1; what came is kept, to go on when there is space."""
    (tmp_path / "source" / "ratings.csv").write_bytes(
        b"user_id,book_id,rating\n" + b"".join(b"%d,%d,5\n" % (n * 7919, n) for n in range(99_999))
    )
    server.content = _packed(tmp_path / "source")
    place = tmp_path / "disk"
    command = (*NIGHTSHELF, "fetch", "--from", server.url, "--out", place / "out")
    small = small_disk.run(place, 100, *command)
    assert (small.exit_code, sorted(small.left)) == (1, ["./.out.zip.part", "./.out.zip.part.json"])
    assert "the disk is full" in small.text
    assert "Traceback" not in small.text
    # The download fits, what is in it does not: it is not fetched again for that.
    larger = small_disk.run(place, 2 * len(server.content) // 1024, *command)
    assert (larger.exit_code, sorted(larger.left)) == (
        1,
        ["./.out.zip.part", "./.out.zip.part.json"],
    )
