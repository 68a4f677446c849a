"""Every location of NGINX, with real replicas behind it."""

import http.client
import json
import re
from collections.abc import Callable
from contextlib import closing

import pytest

from deploy.nginx.configuration import PAGE_FILES, PROBLEMS
from tests.conftest import free_ports
from tests.deploy.nginx.front import PATIENCE_S, Front

StartFront = Callable[..., Front]

_JSON = "application/json"
_PROBLEM = "application/problem+json"

# location -> (path, status, content type); `test_no_location_is_forgotten` holds it to the configuration.
_ROUTES = {
    "= /": ("/", 200, "text/html; charset=utf-8"),
    "= /shelf.css": ("/shelf.css", 200, "text/css; charset=utf-8"),
    "= /shelf.js": ("/shelf.js", 200, "text/javascript; charset=utf-8"),
    "= /api.js": ("/api.js", 200, "text/javascript; charset=utf-8"),
    "= /favicon.svg": ("/favicon.svg", 200, "image/svg+xml"),
    "/v1/": ("/v1/users/7/recommendations", 200, _JSON),
    "~ ^/v1/books/[0-9]+$": ("/v1/books/3", 200, _JSON),
    "= /v1/recommendations": ("/v1/recommendations?user_id=1&user_id=2", 200, _JSON),
    "= /openapi.json": ("/openapi.json", 200, _JSON),
    "= /healthz": ("/healthz", 200, _JSON),
    "= /readyz": ("/readyz", 200, _JSON),
    "= /metrics": ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
    "= /nginx-status": ("/nginx-status", 200, "text/plain"),
    "= /_refused": ("/_refused", 404, _PROBLEM),
    "= /_repeated_tags": ("/_repeated_tags", 404, _PROBLEM),
    "/v1/books/": ("/v1/books/3/similar", 200, _JSON),
    "= /v1": ("/v1", 404, _PROBLEM),
    "= /v1/books": ("/v1/books", 404, _PROBLEM),
    "/": ("/index.php", 404, _PROBLEM),
    **{f"= /_problem/{status}": (f"/_problem/{status}", 404, _PROBLEM) for status in PROBLEMS},
}


def _text(front: Front) -> str:
    return (front.folder / "nginx.conf").read_text()


def test_no_location_is_forgotten(front: Front) -> None:
    """The table of this file and the locations of the configuration are the same."""
    found = re.findall(r"^\s*location (.+?) \{$", _text(front), flags=re.MULTILINE)
    assert sorted(found) == sorted(_ROUTES)
    assert {f"= /{name}" for name in PAGE_FILES[1:]} < set(_ROUTES)


@pytest.mark.parametrize("location", _ROUTES)
def test_a_location_answers(front: Front, location: str) -> None:
    """Status and content type; HEAD answers the same without a body; nothing says which NGINX it is."""
    path, status, content_type = _ROUTES[location]
    answer = front.get(path)
    assert (answer.status, answer.headers["content-type"]) == (status, content_type)
    assert answer.body
    head = front.get(path, method="HEAD")
    assert (head.status, head.headers["content-type"], head.body) == (status, content_type, b"")
    assert answer.headers["server"] == "nginx"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["/v1/popular?limit=3", "/v1/popular?tag=fantasy", "/v1/books/3/similar?limit=2"]
)
def test_the_other_paths_of_the_api_answer(front: Front, path: str) -> None:
    """What the API describes and no location names of itself comes from a replica, with its release."""
    answer = front.get(path)
    assert answer.status == 200
    assert answer.json["release"] == answer.headers["x-release"]


def test_the_status_has_an_address_of_its_own(start_front: StartFront) -> None:
    """For an exporter: private addresses are told there, of nothing but the status."""
    port = free_ports(6)[5]
    start_front(nginx_status_listen=f"127.0.0.1:{port}", nginx_internal_networks="192.0.2.1")
    for path, status in (("/nginx-status", 200), ("/metrics", 404), ("/v1/popular", 404)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        with closing(connection):
            connection.request("GET", path)
            assert connection.getresponse().status == status


@pytest.mark.parametrize("path", ["/readyz", "/metrics", "/nginx-status"])
def test_internal_paths_are_closed_to_the_outside(start_front: StartFront, path: str) -> None:
    """For an address that is not internal: 403 as a problem, also by way of other spellings of the path."""
    front = start_front(nginx_trusted_proxies="127.0.0.1")
    assert front.get(path, X_Forwarded_For="127.0.0.1").status == 200
    for spelling in (path, f"/{path}", f"/v1/..{path}", f"/v1/%2e%2e{path}", f"/v1/../.{path}"):
        answer = front.get(spelling, X_Forwarded_For="203.0.113.9")
        assert (answer.status, answer.headers["content-type"]) == (403, _PROBLEM), spelling
        assert answer.json["detail"] == "this path is open to internal addresses only"
        assert answer.headers["cache-control"] == "no-store"


def test_nobody_becomes_internal_by_a_header(front: Front, start_front: StartFront) -> None:
    """X-Forwarded-For counts only from a trusted proxy: without one the real address does."""
    assert front.get("/metrics", X_Forwarded_For="203.0.113.9").status == 200
    closed = start_front(nginx_internal_networks="10.0.0.0/8")
    assert closed.get("/metrics", X_Forwarded_For="10.0.0.1").status == 403


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "FOO"]
)
@pytest.mark.parametrize("path", ["/", "/v1/popular", "/metrics", "/nothing"])
def test_other_methods_are_refused(front: Front, method: str, path: str) -> None:
    """405 as a problem, with Allow."""
    answer = front.get(path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.headers["content-type"] == _PROBLEM
    assert answer.json == {
        "type": "about:blank",
        "title": "Method Not Allowed",
        "status": 405,
        "detail": "only GET and HEAD are answered here",
    }


def _status(received: bytes) -> tuple[int, dict[str, object]]:
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json\r\n" in head + b"\r\n", received
    return int(head.split()[1]), json.loads(body)


_END = b"Host: shelf\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n" + _END, 414),
        (b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 5000 + b"\r\n" + _END, 431),
        (
            b"GET / HTTP/1.1\r\n"
            + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 4000) for n in range(5))
            + _END,
            431,
        ),
        (b"GET /v1/popular HTTP/1.1\r\nContent-Length: 2000\r\n" + _END + b"a" * 2000, 413),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/%zz HTTP/1.1\r\n" + _END, 400),
        (b"GET /v1/%00 HTTP/1.1\r\n" + _END, 400),
        (b"GET /../etc/passwd HTTP/1.1\r\n" + _END, 400),
        (b"GET / HTTP/7.0\r\n" + _END, 400),
        (b"get / HTTP/1.1\r\n" + _END, 400),
        (b"GET /v1/popular?tag=\xff HTTP/1.1\r\n" + _END, 400),
        (b"GET /v1/b\xc3\xbccher HTTP/1.1\r\n" + _END, 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (
            b"GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
            + _END
            + b"0\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" + _END, 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n" + _END, 400),
        (b'GET / HTTP/1.1\r\nIf-Match: "other"\r\n' + _END, 412),
    ],
)
def test_requests_beyond_the_limits_are_problems(
    front: Front, request_: bytes, status: int
) -> None:
    """What is too long, too large or not HTTP gets a 4xx as problem+json, naming what is wrong."""
    found, body = _status(front.raw(request_))
    assert found == status
    assert (body["status"], body["title"], body["detail"]) == (status, *PROBLEMS[status])


def test_a_batch_of_a_hundred_long_ids_fits(front: Front) -> None:
    """The limits leave room for the longest request that the API describes."""
    users = "&".join(f"user_id={2_147_483_647 - number}" for number in range(100))
    answer = front.get(f"/v1/recommendations?{users}&limit=100")
    assert answer.status == 200
    assert len(answer.json["results"]) == 100


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 44\r\n" + _END + b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: aaaaaa\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n" + _END + b"5\r\nGET /\r\n0\r\n\r\n",
    ],
)
def test_a_small_body_is_ignored(front: Front, body: bytes) -> None:
    """A body reaches no replica, is no request of its own, and does not eat the next caller's request."""
    for path in (b"/v1/popular", b"/v1/recommendations?user_id=1", b"/healthz"):
        received = front.raw(b"GET " + path + b" HTTP/1.1\r\n" + body)
        assert received.count(b"HTTP/1.1 ") == 1
        assert received.startswith(b"HTTP/1.1 200 ")
        # Both replicas are asked, over the connections that NGINX keeps.
        for user in range(1, 6):
            assert front.get(f"/v1/users/{user}/recommendations?limit=9").status == 200


@pytest.mark.parametrize("path", [b"/healthz", b"/openapi.json", b"/v1/recommendations?user_id=1"])
def test_a_tag_that_cannot_be_ours_matches_nothing(front: Front, path: bytes) -> None:
    """An odd byte in If-None-Match does not reach a replica, which would refuse the whole request."""
    asked = b"GET " + path + b" HTTP/1.1\r\nIf-None-Match: "
    for tag in (b"\x7f", b"\xff", b"\x01", b'"a", "\x7f"'):
        assert front.raw(asked + tag + b"\r\n" + _END).startswith(b"HTTP/1.1 200 "), tag
