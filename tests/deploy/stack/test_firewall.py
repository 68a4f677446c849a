"""The web application firewall, in front of the same replicas: attacks are refused, our own API is not."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, TimeoutError, sync_playwright  # noqa: A004  # Playwright's own

from deploy.nginx.configuration import PAGE_FILES
from tests.conftest import free_ports
from tests.deploy.stack.address import Address
from tests.deploy.stack.closed import assert_closed
from tests.deploy.stack.daemon import docker
from tests.deploy.stack.deployed import USERS, Deployed
from tests.harness.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
_REFUSED = "looks like an attack"
_CHROMIUM = "/usr/bin/chromium"
#: What attackers put into a parameter, each known to the rule set as another kind of attack.
_IN_A_TAG = {
    "SQL that is always true": "x' OR '1'='1' -- ",
    "SQL that reads more": "1 UNION SELECT password FROM users",
    "SQL that sleeps": "1'; SELECT pg_sleep(10) --",
    "a script": "<script>alert(1)</script>",
    "a script in an image": "<img src=x onerror=alert(1)>",
    "a path that climbs": "../../../../etc/passwd",
    "a path that climbs, encoded twice": "..%2f..%2f..%2fetc%2fpasswd",
    "a file of the system": "/etc/shadow",
    "a shell": ";cat /etc/passwd",
    "a file from elsewhere": "http://192.0.2.1/shell.php?",
    "a header that is split": "x\r\nSet-Cookie: a=b",
}
#: Name -> (path, headers).
ATTACKS: dict[str, tuple[str, dict[str, str]]] = {
    **{name: (f"/v1/popular?tag={quote(text, safe='')}", {}) for name, text in _IN_A_TAG.items()},
    "sqlmap": ("/v1/popular", {"User-Agent": "sqlmap/1.7.2#stable (https://sqlmap.org)"}),
    "Nikto": ("/v1/popular", {"User-Agent": "Mozilla/5.00 (Nikto/2.1.6) (Evasions:None)"}),
}  # fmt: skip


class Answer(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


def _ask(address: Address, path: str, **headers: str) -> Answer:
    with closing(address.connection()) as connection:
        connection.request(
            "GET", path, headers={"User-Agent": _BROWSER, "Accept": "*/*", **headers}
        )
        response: http.client.HTTPResponse = connection.getresponse()
        return Answer(response.status, response.read())


@pytest.fixture(scope="module")
def wall(empty_stack: Deployed, release: str) -> Iterator[Address]:
    """The firewall beside NGINX, on ports of its own, before the same replicas."""
    assert release
    http_port, https_port = free_ports(5)[3:]
    there = {
        "COMPOSE_PROFILES": "proxy,waf",
        "NIGHTSHELF_HTTP": f"127.0.0.1:{http_port}",
        "NIGHTSHELF_HTTPS": f"127.0.0.1:{https_port}",
    }
    address = Address(https_port, empty_stack.address.certificate)
    empty_stack.compose("up", "--detach", "--no-deps", "waf", variables=there)
    try:
        until(lambda: _is_up(address), "the firewall answers", 120, 0.5)
        yield address
    finally:
        empty_stack.compose("rm", "--force", "--stop", "waf", variables=there)


def _is_up(address: Address) -> bool:
    try:
        return _ask(address, "/v1/popular").status == 200
    except OSError:
        return False


def test_it_is_closed_like_the_rest(wall: Address, stack: Deployed) -> None:
    """No root, no capability, nothing that can be written."""
    assert wall.port
    (container,) = json.loads(docker("inspect", stack.containers("waf")[0]))
    assert_closed(container)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused(wall: Address, attack: str) -> None:
    """With 400 and a body that says so, before any replica sees it."""
    path, headers = ATTACKS[attack]
    refused = _ask(wall, path, **headers)
    assert refused.status == 400
    assert _REFUSED in json.loads(refused.body)["detail"]


def test_a_refusal_is_logged_with_its_rule(wall: Address, stack: Deployed) -> None:
    """The error log names the rule and the request's id, by which the access log is found."""
    path, _ = ATTACKS["SQL that reads more"]
    _ask(wall, path, **{"X-Request-Id": "looked-for-12345"})

    def told() -> bool:
        lines = stack.compose(
            "logs", "--no-color", "waf", variables={"COMPOSE_PROFILES": "proxy,waf"}
        ).stdout
        return any("949110" in line and "looked-for-12345" in line for line in lines.splitlines())

    until(told, "the refusal is logged", 30, 0.5)


def _paths() -> list[str]:
    """Return every documented path, with every parameter in the values that it takes."""
    limits = ("", "?limit=1", "?limit=100")
    batch = "&".join(f"user_id={user}" for user in range(1, 101))
    return [
        *(f"/v1/users/{user}/recommendations" for user in range(1, USERS + 1, 7)),
        *(f"/v1/users/9223372036854775807/recommendations{limit}" for limit in limits),
        *(f"/v1/books/{book}" for book in range(1, 151, 7)),
        *(f"/v1/books/{book}/similar{limit}" for book in (1, 150) for limit in limits),
        *(f"/v1/popular{limit}" for limit in limits),
        *(f"/v1/popular?tag={tag}&limit=5" for tag in ("fantasy", "to-read", "select", "script")),
        f"/v1/recommendations?{batch}&limit=100",
        "/healthz",
        "/openapi.json",
        "/",
        *(f"/{name}" for name in PAGE_FILES[1:]),
    ]  # fmt: skip


def test_our_own_api_raises_no_false_alarm(wall: Address, stack: Deployed, release: str) -> None:
    """Every documented path and the page, with the headers that clients send: the same answers as without it."""
    headers = {
        "If-None-Match": 'W/"0123456789abcdef"',
        "X-Api-Key": "",
        "X-Request-Id": "abc-123.DEF_456",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "Origin": "https://shop.example",
        "Referer": "https://shop.example/books?page=2&sort=title",
        "Accept-Language": "de-DE,de;q=0.9,en;q=0.8",
    }
    named = f"/v1/users/1/recommendations?release={release}"
    for path in [*_paths(), named]:
        assert _REFUSED.encode() not in _ask(wall, path, **headers).body, path
        # A look-up that comes too late for a busy machine is answered from a fallback: for a moment, not for ever.
        until(lambda path=path: _same(wall, stack.address, path, headers), path, 60, 0.5)  # type: ignore[misc]


def _same(wall: Address, plain: Address, path: str, headers: dict[str, str]) -> bool:
    through, without = (_ask(address, path, **headers) for address in (wall, plain))
    if path == "/healthz":  # it names the replica that answered
        return through.status == without.status
    return through == without


@pytest.mark.parametrize(
    "agent",
    ["curl/8.5.0", "python-requests/2.32.3", "Go-http-client/1.1", "okhttp/4.12.0", _BROWSER],
)
def test_usual_clients_are_let_through(wall: Address, agent: str) -> None:
    """Programs ask an API; that alone is no attack."""
    assert _ask(wall, "/v1/popular", **{"User-Agent": agent}).status == 200


def test_the_page_works_through_it(wall: Address) -> None:
    """A list with its books is shown in a browser, and nothing that the page asks for is refused."""
    asked: list[tuple[int, str]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.on("response", lambda answer: asked.append((answer.status, answer.url)))
        # Opened again where a busy machine had no list for it in time.
        until(lambda: _shown(page, f"https://localhost:{wall.port}/"), "a list", 300)
        until(lambda: _cards(page, asked), "the cards of its books", 120)
        browser.close()
    assert [answer for answer in asked if answer[0] in {400, 403}] == []


def _shown(page: Page, url: str) -> bool:
    page.goto(url, timeout=120_000)
    try:
        page.locator("main[aria-busy=false] .entry").first.wait_for(timeout=20_000)
    except TimeoutError:
        return False
    return True


def _cards(page: Page, asked: list[tuple[int, str]]) -> bool:
    page.wait_for_timeout(100)
    return sum("/v1/books/" in url for _, url in asked) >= 10


def test_it_takes_the_place_of_nginx(stack: Deployed) -> None:
    """The steps of deploy/containers/guides.md: `down`, the profile in `.env`, `up`; and back the same way."""
    path, headers = ATTACKS["sqlmap"]
    assert _ask(stack.address, path, **headers).status == 200
    stack.run("down")
    with stack.settings(COMPOSE_PROFILES="waf"):
        stack.run("up")
        stack.wait_personal()
        assert stack.containers("nginx") == []
        assert _ask(stack.address, path, **headers).status == 400
        stack.run("down")
    stack.run("up")
    stack.wait_personal()
    assert stack.containers("waf") == []
