"""Rate limits, by address and by API key."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from deploy.nginx import configuration
from tests.deploy.nginx.conftest import Front, nginx_settings

StartFront = Callable[..., Front]

# Slow enough that a test refills nothing: a tenth of a request in a second would be too fast for 1 r/s as well, so
# what is asserted is a range.
_SLOW = {"nginx_rate_per_s": 1, "nginx_burst": 5, "nginx_cards_per_list": 3}


def _answers(front: Front, path: str, times: int, **headers: str) -> Counter[int]:
    return Counter(front.get(path, **headers).status for _ in range(times))


def test_a_client_that_asks_too_often_is_told_to_wait(start_front: StartFront) -> None:
    """The burst is answered at once, then come 429s as problems with Retry-After."""
    front = start_front(**_SLOW)
    seen = _answers(front, "/v1/users/1/recommendations", 30)
    # One and the burst of five, and at most what refills while thirty requests are made.
    assert set(seen) == {200, 429}
    assert 6 <= seen[200] <= 12
    refused = next(a for a in iter(lambda: front.get("/v1/popular"), None) if a.status == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json["title"] == "Too Many Requests"


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
    seen = _answers(front, "/v1/books/1", 60)
    assert set(seen) == {200, 429}
    assert 16 <= seen[200] <= 34
    assert front.get("/v1/users/1/recommendations").status == 200


def test_clients_are_counted_by_address(start_front: StartFront) -> None:
    """One client's 429 is not another's; behind a trusted proxy the client is who the proxy says."""
    front = start_front(**_SLOW, nginx_trusted_proxies="127.0.0.1")
    assert 429 in _answers(front, "/v1/popular", 20, X_Forwarded_For="198.51.100.1")
    assert front.get("/v1/popular", X_Forwarded_For="198.51.100.2").status == 200


def test_an_address_that_nobody_trusts_does_not_choose_who_it_is(start_front: StartFront) -> None:
    """Without trusted proxies a made-up X-Forwarded-For does not get round the limit."""
    front = start_front(**_SLOW)
    seen = Counter(
        front.get("/v1/popular", X_Forwarded_For=f"198.51.100.{n}").status for n in range(30)
    )
    assert seen[429] > 0


def test_the_defaults_are_ten_a_second_and_twenty_at_once(tmp_path: Path) -> None:
    """What the configuration says when nothing is set."""
    text = configuration.configuration(type(nginx_settings("a:1", 1))(), tmp_path)
    assert "zone=lists_by_address:10m rate=10r/s;" in text
    assert "limit_req zone=lists_by_address burst=20 nodelay;" in text
    assert "limit_req_status 429;" in text
