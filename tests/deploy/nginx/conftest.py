"""Real NGINX before real edge replicas before a real Redis Cluster with a published release."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from schemas.environment import Node
from tests.conftest import free_ports, running_cluster
from tests.deploy.nginx.front import PATIENCE_S, Front, running_front
from tests.deploy.nginx.replicas import Edge, running_edge
from tests.deploy.nginx.tls import Secure, certified

_CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The machine's Chromium; not for longer, since Playwright's event loop stands in the way of any other."""
    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, ...]]:
    """A Redis Cluster that nobody else empties; each edge has a namespace of its own in it."""
    with running_cluster(tmp_path_factory.mktemp("shelves")) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def edge(shelves: tuple[Node, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Two replicas that serve one release of 30 users and 40 books, and that no test changes."""
    folder = tmp_path_factory.mktemp("edge")
    with running_edge(shelves, folder, "lasting", replicas=2, length=40) as running:
        yield running


@pytest.fixture(scope="module")
def front(edge: Edge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """NGINX with limits that no test reaches, and a cache that a module has for itself."""
    with running_front(tmp_path_factory.mktemp("nginx"), edge.addresses) as running:
        yield running


@pytest.fixture
def start_front(edge: Edge, tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """A function that runs another NGINX before the replicas, with settings of its own."""
    with ExitStack() as stack:

        def do(**choices: object) -> Front:
            folder = tmp_path / f"nginx{len(list(tmp_path.iterdir()))}"
            return stack.enter_context(running_front(folder, edge.addresses, **choices))

        yield do


@pytest.fixture
def secure(start_front: Callable[..., Front], tmp_path: Path) -> Secure:
    """NGINX with a self-signed pair: (NGINX, its TLS port, the certificate)."""
    certificate, key = certified(tmp_path)
    port = free_ports(3)[2]
    front = start_front(
        nginx_tls_certificate=str(certificate),
        nginx_tls_key=str(key),
        nginx_tls_listen=f"127.0.0.1:{port}",
        nginx_public_url=f"https://localhost:{port}",
    )
    return front, port, certificate
