"""A load balancer and a CDN in front of NGINX, as deploy/containers/guides.md advises: another NGINX.

It keeps what `Cache-Control` lets it, asks again by tag, and names its clients in `X-Forwarded-For`.
"""

import getpass
import http.client
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from deploy.nginx import configuration
from schemas.environment import Node
from tests.conftest import free_ports
from tests.deploy.nginx.front import PATIENCE_S, Answer, fetch, listens, running_front
from tests.deploy.nginx.replicas import SHORT_S, Edge, running_edge
from tests.harness.waiting import until

_CONFIGURATION = """
daemon off;
user {user};
pid cdn.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    proxy_cache_path {folder}/kept keys_zone=kept:1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{origin};
            proxy_http_version 1.1;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_cache kept;
            proxy_cache_key $request_uri;
            proxy_cache_revalidate on;
            add_header X-Cdn $upstream_cache_status always;
        }}
    }}
}}
"""
#: NGINX shows nothing older (see test_cache.py), and the CDN keeps an answer for max-age.
_GONE_S = 2 * SHORT_S + 1 + SHORT_S


@dataclass(frozen=True)
class Cdn:
    """A running CDN, and the replica at the end of the way."""

    port: int
    edge: Edge

    def get(self, path: str, client: str = "127.0.0.2") -> Answer:
        """Return what a client of this address is answered."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE_S, source_address=(client, 0)
        )
        return fetch(connection, path, "GET", {})


@pytest.fixture(scope="module")
def cdn(shelves: tuple[Node, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cdn]:
    """A CDN in front of NGINX, which lets a client have one list a second and forty more at once."""
    folder = tmp_path_factory.mktemp("cdn")
    limits = {"nginx_rate_per_s": 1, "nginx_burst": 40, "nginx_trusted_proxies": "127.0.0.1"}
    with (
        running_edge(shelves, folder / "edge", "cdn", max_age_s=SHORT_S) as edge,
        running_front(folder / "nginx", edge.addresses, **limits) as front,
    ):
        (port,) = free_ports(1)
        place = folder / "cdn"
        place.mkdir()
        text = _CONFIGURATION.format(
            user=getpass.getuser(), folder=place, port=port, origin=front.port
        )
        (place / "cdn.conf").write_text(text, encoding="utf-8")
        program = configuration.command(front.folder)[0]
        process = subprocess.Popen([program, "-p", str(place), "-c", "cdn.conf"])
        try:
            until(lambda: listens(port), "the CDN listens", PATIENCE_S)
            yield Cdn(port, edge)
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)


def test_it_keeps_a_list_for_as_long_as_it_says(cdn: Cdn) -> None:
    """The second answer is the CDN's own."""
    path = "/v1/users/7/recommendations?limit=4"
    until(lambda: cdn.get(path).headers["x-cdn"] == "HIT", "the CDN keeps it", PATIENCE_S)
    assert cdn.get(path).json["source"] == "als"


def test_a_fallback_is_never_kept(cdn: Cdn) -> None:
    """While the store has no pointer every answer is fetched anew, and none outlives it."""
    path = "/v1/users/8/recommendations?limit=5"
    with cdn.edge.without_pointer():
        until(
            lambda: cdn.get(path, "127.0.0.3").json["reason"] == "no_release",
            "the fallback",
            PATIENCE_S,
        )
        found = {cdn.get(path, "127.0.0.4").headers["x-cdn"] for _ in range(3)}
        assert found <= {"MISS", "EXPIRED"}
    until(lambda: cdn.get(path, "127.0.0.5").json["source"] == "als", "a personal list", PATIENCE_S)


def test_a_new_release_comes_through_it(cdn: Cdn) -> None:
    """A flip is seen by the CDN's clients when NGINX's time and its own have passed."""
    paths = [f"/v1/users/{user}/recommendations?limit=6" for user in range(1, 6)]
    old = {cdn.get(path, "127.0.0.6").headers["x-release"] for path in paths}
    new = cdn.edge.go_live("2026-01-02", variant=1).release
    cdn.edge.wait(new)
    time.sleep(_GONE_S)
    assert {cdn.get(path, "127.0.0.6").headers["x-release"] for path in paths} == {new}
    assert old != {new}


def test_each_of_its_clients_has_a_limit_of_its_own(cdn: Cdn) -> None:
    """One client's 429 is not another's, though both come from the CDN's address."""
    paths = (f"/v1/users/{1 + n % 30}/recommendations?limit={1 + n // 30}" for n in count())
    until(lambda: cdn.get(next(paths), "127.0.0.7").status == 429, "it asks too often", PATIENCE_S)
    assert cdn.get(next(paths), "127.0.0.8").status == 200
