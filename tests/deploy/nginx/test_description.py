"""The API's description and what NGINX and the replicas behind it answer are the same."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from deploy.nginx import keys
from serving import openapi
from tests.conftest import free_ports
from tests.deploy.nginx.described import resolved, response
from tests.deploy.nginx.front import PATIENCE_S, Answer, Front, running_front
from tests.deploy.nginx.replicas import Edge
from tests.deploy.nginx.tls import Secure, certified, get
from tests.harness.waiting import until

#: Described path -> (one that is answered with 200, one that is answered with 404).
_PATHS = {
    "/v1/users/{user_id}/recommendations": (
        "/v1/users/3/recommendations",
        "/v1/users/3/recommendations?release=2000-01-01-00000000",
    ),
    "/v1/recommendations": ("/v1/recommendations?user_id=1&user_id=2", None),
    "/v1/popular": ("/v1/popular", "/v1/popular?tag=nothing"),
    "/v1/books/{book_id}": ("/v1/books/4", "/v1/books/999"),
    "/v1/books/{book_id}/similar": ("/v1/books/4/similar", "/v1/books/999/similar"),
    "/healthz": ("/healthz", None),
    "/openapi.json": ("/openapi.json", None),
    "/readyz": ("/readyz", None),
    "/metrics": ("/metrics", None),
}  # fmt: skip
_LONG = "a" * 5000


@pytest.fixture(scope="module")
def fronts(edge: Edge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Front]]:
    """NGINX as it is met: open to every origin, for keys only, from outside, for one at a time, over TLS, alone."""
    folder = tmp_path_factory.mktemp("fronts")
    file = folder / "keys.map"
    keys.add(file, "shop")
    certificate, key = certified(folder)
    choices: dict[str, dict[str, object]] = {
        "open": {"nginx_cors_origins": "*"},
        "keys": {"nginx_api_keys_file": str(file), "nginx_api_keys_required": True},
        "outside": {"nginx_internal_networks": "192.0.2.1"},
        "one": {"nginx_connections_per_client": 1, "nginx_rate_per_s": 1, "nginx_burst": 1},
        "tls": {
            "nginx_tls_certificate": str(certificate),
            "nginx_tls_key": str(key),
            "nginx_tls_listen": f"127.0.0.1:{free_ports(20)[-1]}",
            "nginx_public_url": "https://localhost",
        },
    }
    with ExitStack() as stack:
        found = {
            name: stack.enter_context(running_front(folder / name, edge.addresses, **chosen))
            for name, chosen in choices.items()
        }
        nobody = f"unix:{folder}/nobody.sock"
        found["alone"] = stack.enter_context(running_front(folder / "alone", nobody))
        yield found


def _too_many(front: Front, path: str, method: str) -> Answer:
    """Return the answer to one request too many: over the rate, or while another has not ended."""
    seen: list[Answer] = []

    def refused() -> bool:
        with socket.create_connection(("127.0.0.1", front.port)) as held:
            held.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
            seen.append(front.get(path, method=method))
        return seen[-1].status == 429

    until(refused, "a second request is refused", PATIENCE_S)
    return seen[-1]


def _answers(fronts: dict[str, Front], template: str, method: str) -> dict[int, Answer]:
    """Return one answer of each status that a path can have."""
    path, missing = _PATHS[template]
    front = fronts["open"]
    joined = "&" if "?" in path else "?"
    found = [
        front.get(path, method=method, Accept_Encoding="gzip"),
        front.get(path, method=method, Host="not a host"),
        front.get(path, method="POST"),
        front.get(path, method=method, Content_Length="2000"),
        front.get(f"{path}{joined}a={_LONG}", method=method),
        front.get(path, method=method, X_Long=_LONG),
        front.get(path, method=method, If_Match='"other"'),
        fronts["keys"].get(path, method=method, X_Api_Key="nobody's"),
        fronts["outside"].get(path, method=method),
        fronts["alone"].get(path, method=method),
        fronts["tls"].get(path, method=method),
        _too_many(fronts["one"], path, method),
    ]
    if "etag" in found[0].headers:
        found.append(front.get(path, method=method, If_None_Match=found[0].headers["etag"]))
    if missing is not None:
        found.append(front.get(missing, method=method))
    return {answer.status: answer for answer in found}


def test_it_is_openapi_and_what_is_served(fronts: dict[str, Front]) -> None:
    """A valid OpenAPI 3.1 document; the bytes that NGINX answers are those of the module."""
    validate(json.loads(openapi.TEXT))
    assert fronts["open"].get("/openapi.json").body.decode() == openapi.TEXT
    assert set(_PATHS) == set(openapi.DOCUMENT["paths"])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("template", _PATHS)
def test_every_described_status_is_answered_and_no_other(
    fronts: dict[str, Front], template: str, method: str
) -> None:
    """Each status of the description comes, with its required headers (`Front.get` checks), and none besides."""
    answers = _answers(fronts, template, method)
    described = openapi.DOCUMENT["paths"][template][method.lower()]["responses"]
    assert {str(status) for status in answers} == set(described)
    for status, answer in answers.items():
        found = response(method, template, status)
        assert found is not None
        assert ("content" in found) == ("content-type" in answer.headers), status
        problem = "application/problem+json" in found.get("content", {})
        # The answer to POST has a body in any case.
        if problem and (method == "GET" or status == 405):
            assert answer.json["status"] == status


def test_every_described_header_is_sent_by_some_answer(
    fronts: dict[str, Front], secure: Secure
) -> None:
    """Also those that depend on a setting or on the request."""
    seen = {name for path, _ in _PATHS.values() for name in fronts["open"].get(
        path, Origin="https://a.example", Accept_Encoding="gzip").headers}  # fmt: skip
    seen |= set(fronts["keys"].get("/v1/popular").headers)
    seen |= set(fronts["open"].get("/v1/popular", method="POST").headers)
    seen |= set(fronts["alone"].get("/v1/popular").headers)
    seen |= set(fronts["tls"].get("/v1/popular").headers)
    _, port, certificate = secure
    seen |= set(get(port, certificate, "/v1/popular").headers)
    assert {name.lower() for name in openapi.DOCUMENT["components"]["headers"]} <= seen
    for part in openapi.DOCUMENT["components"]["headers"].values():
        assert resolved(part)["description"]


def test_generated_requests_are_answered_as_described(front: Front, tmp_path: Path) -> None:
    """Schemathesis, through NGINX: what the description allows and what it does not; all its checks hold."""
    found = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{front.base}/openapi.json"),
            *("--checks", "all", "--seed", "1", "--max-examples", "10", "--generation-database", "none"),
            *("--continue-on-failure", "--suppress-health-check", "all", "--no-color"),
            *("--request-timeout", str(PATIENCE_S)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
