"""Rate limits, by address and by API key."""

import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count, islice
from pathlib import Path

from deploy.nginx import configuration, keys
from deploy.nginx.settings import NginxSettings
from schemas.environment import Node
from tests.deploy.nginx.front import PATIENCE_S, Answer, Front, running_front
from tests.deploy.nginx.replicas import running_edge
from tests.harness.waiting import until

StartFront = Callable[..., Front]

_SLOW = {"nginx_rate_per_s": 1, "nginx_burst": 5, "nginx_cards_per_list": 3}
#: Nobody is let through so often at one a second, unless each request took longer.
_OFTEN = 1000


def _until_refused(front: Front, path: str, **headers: str) -> tuple[int, Answer]:
    """Ask until the answer is a 429; return how many were answered before and the refusal."""
    for answered in range(_OFTEN):
        answer = front.get(path, **headers)
        if answer.status != 200:
            assert answer.status == 429
            return answered, answer
    raise AssertionError(f"{_OFTEN} requests and no 429")


def test_a_client_that_asks_too_often_is_told_to_wait(start_front: StartFront) -> None:
    """One and the burst of five are answered at once, and one more a second; then come 429s with Retry-After."""
    front = start_front(**_SLOW)
    began = time.monotonic()
    answered, refused = _until_refused(front, "/v1/users/1/recommendations")
    assert 6 <= answered <= 7 + time.monotonic() - began
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json["title"] == "Too Many Requests"
    until(
        lambda: front.get("/v1/popular").status == 200, "after a while it is answered", PATIENCE_S
    )


def test_the_default_lets_a_page_and_its_cards_through(start_front: StartFront) -> None:
    """With the default limits a list and its ten cards come twenty times in a row: cards are counted apart."""
    front = start_front(nginx_rate_per_s=10, nginx_burst=20, nginx_cards_per_list=10)
    statuses: Counter[int] = Counter()
    for user in range(1, 21):
        items = front.get(f"/v1/users/{user}/recommendations")
        statuses[items.status] += 1
        for item in items.json["items"]:
            statuses[front.get(f"/v1/books/{item['book_id']}").status] += 1
    assert statuses == {200: 220}


def test_cards_have_a_limit_too(start_front: StartFront) -> None:
    """Three times that of lists here; the limit of lists is not used up by them."""
    front = start_front(**_SLOW)
    began = time.monotonic()
    answered, _ = _until_refused(front, "/v1/books/1")
    assert 16 <= answered <= 17 + 3 * (time.monotonic() - began)
    assert front.get("/v1/users/1/recommendations").status == 200


def test_clients_are_counted_by_address(start_front: StartFront) -> None:
    """One client's 429 is not another's; behind a trusted proxy the client is who the proxy says."""
    front = start_front(**_SLOW, nginx_trusted_proxies="127.0.0.1")
    _until_refused(front, "/v1/popular", X_Forwarded_For="198.51.100.1")
    assert front.get("/v1/popular", X_Forwarded_For="198.51.100.2").status == 200


def test_an_address_that_nobody_trusts_does_not_choose_who_it_is(start_front: StartFront) -> None:
    """Without trusted proxies a made-up X-Forwarded-For does not get round the limit."""
    front = start_front(**_SLOW)
    names = (f"198.51.100.{number % 250}" for number in count())
    assert 429 in (
        front.get("/v1/popular", X_Forwarded_For=name).status for name in islice(names, _OFTEN)
    )


def test_a_key_has_a_limit_of_its_own(start_front: StartFront, tmp_path: Path) -> None:
    """A caller with a key is counted by its name and not by its address."""
    file = tmp_path / "keys.map"
    one, other = keys.add(file, "one"), keys.add(file, "other")
    front = start_front(
        **_SLOW, nginx_api_keys_file=str(file), nginx_key_rate_per_s=1, nginx_key_burst=10
    )
    answered, _ = _until_refused(front, "/v1/popular", X_Api_Key=one)
    assert answered >= 11
    assert front.get("/v1/popular", X_Api_Key=other).status == 200
    assert front.get("/v1/popular").status == 200


def test_connections_are_limited_by_address(start_front: StartFront) -> None:
    """Over the limit of requests under way at a time comes a 429; with one fewer all are answered."""
    front = start_front(nginx_connections_per_client=2)
    batch = "/v1/recommendations?user_id=1"
    with ExitStack() as stack:
        for _ in range(2):
            until(lambda: stack.enter_context(_under_way(front, batch)), "it is held", PATIENCE_S)
        assert front.get(batch).status == 429
        assert front.get("/v1/popular").status == 200
    until(lambda: front.get(batch).status == 200, "they are gone", PATIENCE_S)


@contextmanager
def _under_way(front: Front, path: str) -> Iterator[bool]:
    """Send a request but for its body, and say whether NGINX asks for that: then it has been counted."""
    head = f"GET {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", front.port), PATIENCE_S) as connection:
        connection.sendall(head.encode())
        yield connection.recv(99).startswith(b"HTTP/1.1 100 ")


def test_lists_shown_while_silent_replicas_are_asked_use_up_no_connections(
    shelves: tuple[Node, ...], tmp_path: Path
) -> None:
    """A frozen replica: as many stale lists as a key may ask for until it is given up are all shown.

    A list shown stale counts as a request under way until the question in the background has ended.
    """
    shipped = NginxSettings()
    waited_s = 3 * shipped.nginx_read_timeout_ms / 1000  # proxy_next_upstream_timeout
    allowed = shipped.nginx_key_burst + int(shipped.nginx_key_rate_per_s * waited_s)
    paths = [
        f"/v1/users/{1 + n // 100}/recommendations?limit={1 + n % 100}" for n in range(allowed)
    ]
    limit = {"nginx_connections_per_client": shipped.nginx_connections_per_client}
    with (
        running_edge(shelves, tmp_path / "edge", "frozen", max_age_s=6) as edge,
        running_front(tmp_path / "nginx", edge.addresses, **limit) as front,
    ):
        assert {front.get(path).status for path in paths} == {200}
        until(lambda: front.get(paths[-1]).cache == "STALE", "they are stale", PATIENCE_S)
        (replica,) = edge.replicas.values()
        replica.send_signal(signal.SIGSTOP)
        shown = Counter((answer.status, answer.cache) for answer in map(front.get, paths[:-1]))
    assert shown == {(200, "STALE"): allowed - 1}


def test_the_defaults_are_ten_a_second_and_twenty_at_once(tmp_path: Path) -> None:
    """What the configuration says when nothing is set."""
    text = configuration.configuration(NginxSettings(), tmp_path)
    assert "zone=lists_by_address:10m rate=10r/s;" in text
    assert "limit_req zone=lists_by_address burst=20 nodelay;" in text
    assert "limit_req_status 429;" in text
