"""Fetching from a server that breaks off, ignores ranges, changes its file or has nothing."""

import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jobs import fetch
from jobs.runtime.errors import BrokenInput, TryLater, WrongUsage
from tests import excerpts


@dataclass
class Server:
    """What the server serves, how it misbehaves, and what it was asked."""

    content: bytes
    tag: str = '"one"'
    break_after: int | None = None
    breaks_left: int = 0
    ranges: bool = True
    status: int = 200
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A real HTTP server with a zip of the excerpt."""
    source = excerpts.write_current(tmp_path / "source")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(source.iterdir()):
            archive.write(path, f"goodbooks-10k/{path.name}")
        archive.writestr("goodbooks-10k/samples/ratings.csv", "not,this,one\n")
    state = Server(packed.getvalue())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            state.asked.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            if self.headers.get("If-Range") != state.tag:
                start = 0
            if state.status != 200:
                self.send_error(state.status)
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("ETag", state.tag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.breaks_left and state.break_after is not None:
                state.breaks_left -= 1
                body = body[: state.break_after]
            self.wfile.write(body)

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
    for path in (tmp_path / "source").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_a_broken_download_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    """Two breaks in the middle: three requests, the later two for the rest only, whole files at the end."""
    server.break_after, server.breaks_left = 3000, 2
    outcome = fetch.run(server.url, tmp_path / "out")
    assert server.asked == ["", "bytes=3000-", "bytes=6000-"]
    assert outcome.downloaded_bytes == len(server.content)
    _is_whole(tmp_path / "out", tmp_path)


def test_a_download_goes_on_in_a_later_run(server: Server, tmp_path: Path) -> None:
    """A run that gave up leaves its part and no folder; the next takes it up."""
    server.break_after, server.breaks_left = 1000, 5
    with pytest.raises(TryLater, match="broke off"):
        fetch.run(server.url, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    outcome = fetch.run(server.url, tmp_path / "out")
    assert (server.asked[-1], outcome.resumed_bytes) == ("bytes=5000-", 5000)
    _is_whole(tmp_path / "out", tmp_path)


def test_a_changed_file_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    """When the tag is another one, the part is not continued."""
    server.break_after, server.breaks_left = 1000, 5
    with pytest.raises(TryLater):
        fetch.run(server.url, tmp_path / "out")
    server.tag = '"two"'
    fetch.run(server.url, tmp_path / "out")
    _is_whole(tmp_path / "out", tmp_path)


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    """The whole file comes again and is not appended to the part."""
    server.break_after, server.breaks_left, server.ranges = 3000, 1, False
    fetch.run(server.url, tmp_path / "out")
    _is_whole(tmp_path / "out", tmp_path)


def test_a_missing_file_is_told(server: Server, tmp_path: Path) -> None:
    """404 is an error of the input, not of the network."""
    server.status = 404
    with pytest.raises(BrokenInput, match="HTTP 404"):
        fetch.run(server.url, tmp_path / "out")


def test_what_is_no_zip_is_refused(server: Server, tmp_path: Path) -> None:
    """A page instead of the zip leaves no folder behind."""
    server.content = b"<html>please log in</html>"
    with pytest.raises(BrokenInput, match="no whole zip"):
        fetch.run(server.url, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_is_copied_once(tmp_path: Path) -> None:
    """A folder comes over whole; again it is recognised; another target is not touched."""
    source = excerpts.write_current(tmp_path / "source")
    outcome = fetch.run(str(source), tmp_path / "out")
    assert (outcome.edition, outcome.reused) == ("current", False)
    assert fetch.run(str(source), tmp_path / "out").reused
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongUsage):
        fetch.run(str(source), tmp_path / "empty")
