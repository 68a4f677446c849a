"""Pages of other origins: those that are named may read answers, no others."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from deploy.nginx import keys
from tests.deploy.nginx.front import Answer, Front

StartFront = Callable[..., Front]

_KNOWN, _OTHER, _UNKNOWN = "https://a.example", "https://b.example:8443", "https://c.example"
_PATH = "/v1/users/7/recommendations"
_ASKS = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "x-api-key"}


@pytest.fixture
def named(start_front: StartFront) -> Front:
    """NGINX that two origins may read."""
    return start_front(nginx_cors_origins=f"{_KNOWN},{_OTHER}")


def _allowed(answer: Answer) -> dict[str, str]:
    """Return the headers that let a page of another origin do something."""
    return {
        name.removeprefix("access-control-"): value
        for name, value in answer.headers.items()
        if name.startswith("access-control-")
    }


@pytest.mark.parametrize("origin", [_KNOWN, _OTHER])
def test_a_preflight_of_a_known_origin(named: Front, origin: str) -> None:
    """204 without a body, for ten minutes: read with GET and HEAD, with a key, a request id and a tag."""
    answer = named.get(_PATH, method="OPTIONS", Origin=origin, **_ASKS)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["vary"] == "Origin"
    allowed = _allowed(answer)
    assert allowed["allow-origin"] == origin
    assert allowed["allow-methods"] == "GET, HEAD, OPTIONS"
    assert allowed["allow-headers"] == "Authorization, X-Api-Key, X-Request-Id, If-None-Match"
    assert allowed["max-age"] == "600"
    # Answers are the same for everybody: no cookie has to come along.
    assert "allow-credentials" not in allowed


def test_an_answer_to_a_known_origin(named: Front) -> None:
    """It may be read with its release, source, tag and request id; so may a problem and a 304, cached or not."""
    first = named.get(_PATH, Origin=_KNOWN)
    answers = [
        first,
        named.get(_PATH, Origin=_KNOWN),
        named.get(_PATH, Origin=_KNOWN, If_None_Match=first.headers["etag"]),
        named.get("/v1/books/999", Origin=_KNOWN),
        named.get("/nothing", Origin=_KNOWN),
    ]
    assert [answer.status for answer in answers] == [200, 200, 304, 404, 404]
    for answer in answers:
        allowed = _allowed(answer)
        assert allowed["allow-origin"] == _KNOWN
        assert allowed["expose-headers"] == "ETag, X-Release, X-Source, X-Request-Id, Retry-After"
        assert "Origin" in answer.headers["vary"]
    # The entry that one origin's page filled says nothing to another.
    assert _allowed(named.get(_PATH, Origin=_OTHER))["allow-origin"] == _OTHER


@pytest.mark.parametrize(
    "origin", [_UNKNOWN, "https://a.example.evil.org", "http://a.example", "null", f"{_KNOWN}:1"]
)
def test_an_unknown_origin(named: Front, origin: str) -> None:
    """Its preflight is a method that is refused, and no answer says that it may be read; Vary says so to caches."""
    preflight = named.get(_PATH, method="OPTIONS", Origin=origin, **_ASKS)
    assert (preflight.status, preflight.json["title"]) == (405, "Method Not Allowed")
    answer = named.get(_PATH, Origin=origin)
    assert answer.status == 200
    for found in (preflight, answer):
        assert _allowed(found) == {}
        assert "Origin" in found.headers["vary"]


def test_without_an_origin_or_without_the_setting(named: Front, start_front: StartFront) -> None:
    """Nobody is named who did not say who they are, and by default there is no word of it at all."""
    assert _allowed(named.get(_PATH)) == {}
    assert named.get(_PATH, method="OPTIONS").status == 405
    closed = start_front()
    answer = closed.get(_PATH, Origin=_KNOWN)
    assert _allowed(answer) == {}
    assert "vary" not in answer.headers
    assert closed.get(_PATH, method="OPTIONS", Origin=_KNOWN, **_ASKS).status == 405


def test_any_origin(start_front: StartFront) -> None:
    """With `*` all may read, and none is named back."""
    front = start_front(nginx_cors_origins="*")
    preflight = front.get(_PATH, method="OPTIONS", Origin=_UNKNOWN, **_ASKS)
    assert (preflight.status, _allowed(preflight)["allow-origin"]) == (204, "*")
    assert _allowed(front.get(_PATH, Origin=_UNKNOWN))["allow-origin"] == "*"


class _Nothing(BaseHTTPRequestHandler):
    """A page of another origin."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title>")

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """An origin that is not NGINX's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Nothing) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


_READ = """([url, key]) => fetch(url, {headers: {'X-Api-Key': key}})
  .then(a => a.json().then(b => [b.source, a.headers.get('X-Release') === b.release]), () => 'blocked')"""


def test_a_browser_lets_a_page_read_only_what_its_origin_may(
    chromium: Browser, start_front: StartFront, elsewhere: str, tmp_path: Path
) -> None:
    """With a required key, so that it asks first: an answer where the page's origin is known, none where it is not."""
    file = tmp_path / "keys.map"
    key = keys.add(file, "shop")
    closed = {"nginx_api_keys_file": str(file), "nginx_api_keys_required": True}
    page = chromium.new_page()
    page.goto(elsewhere)
    for origins, expected in ((elsewhere, ["als", True]), (_KNOWN, "blocked")):
        front = start_front(nginx_cors_origins=origins, **closed)
        assert page.evaluate(_READ, [f"{front.base}{_PATH}", key]) == expected
    page.close()
