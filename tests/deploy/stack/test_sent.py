"""What the stack sends to Jaeger and to Vector. Both are stand-ins that keep what comes: no package has either.

So what is shown is that spans and lines leave the stack in the form that both take, and not what they make of it.
"""

import gzip
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.conftest import free_ports
from tests.deploy.stack.daemon import ROOT, build, docker
from tests.deploy.stack.deployed import VERSIONS, Deployed
from tests.harness.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

_LISTENER = "nightshelf-test/listener:1"
_TRACED = "test-traced"
_TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def there(empty_stack: Deployed) -> Iterator[dict[str, str]]:
    """Both stand-ins, running; the variables that name them."""
    jaeger, vector = free_ports(9)[7:]
    build("--target", "listener", "--tag", _LISTENER, str(ROOT / "tests/deploy/images"))
    variables = {
        "COMPOSE_PROFILES": "proxy,tracing,logging",
        "JAEGER_IMAGE": _LISTENER,
        "VECTOR_IMAGE": _LISTENER,
        "NIGHTSHELF_JAEGER_PORT": str(jaeger),
        "NIGHTSHELF_LOG_PORT": str(vector),
        "NIGHTSHELF_TRACES": "http://jaeger:4318/v1/traces",
    }
    files = ("--file", "containers/compose.logging.yaml")
    empty_stack.compose(
        *files, "up", "--detach", "--no-deps", "jaeger", "vector", variables=variables
    )
    try:
        yield variables
    finally:
        empty_stack.compose(
            *files, "rm", "--force", "--stop", "jaeger", "vector", variables=variables
        )


def _received(stack: Deployed, service: str) -> bytes:
    kept = ["docker", "exec", stack.containers(service)[0], "cat", "/tmp/received"]  # noqa: S108  # a container's own
    return subprocess.run(kept, check=False, capture_output=True).stdout


def test_spans_of_the_edge_are_sent(stack: Deployed, there: dict[str, str]) -> None:
    """With images of the tracing lock: a request's trace, from the caller's header to the collector."""
    build(
        *("--file", str(ROOT / "deploy/containers/Dockerfile"), "--target", "serving"),
        *("--build-arg", "SERVING_LOCK=serving-tracing", "--build-arg", f"VERSION={_TRACED}"),
        *("--tag", f"nightshelf/serving:{_TRACED}", str(ROOT)),
    )
    traced = Deployed(
        stack.project,
        stack.folder,
        {**stack.environment, **there, "COMPOSE_PROFILES": "proxy,tracing"},
        stack.address,
        stack.airflow_port,
    )
    traced.run("roll", _TRACED)
    try:
        with closing(stack.address.connection()) as connection:
            parent = {"traceparent": f"00-{_TRACE}-b7ad6b7169203331-01"}
            connection.request("GET", "/v1/users/5/recommendations?limit=37", headers=parent)
            assert connection.getresponse().status == 200
        until(
            lambda: bytes.fromhex(_TRACE) in _plain(_received(stack, "jaeger")),
            "its spans",
            60,
            0.5,
        )
    finally:
        stack.run("roll", VERSIONS[0])


def _plain(content: bytes) -> bytes:
    """Return what was sent, unpacked where it is packed."""
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def test_lines_are_sent_with_the_service_they_are_of(
    stack: Deployed, there: dict[str, str]
) -> None:
    """By Docker's own driver, of a container started with compose.logging.yaml; they are shown as before, too."""
    shown = stack.compose(
        *("--file", "containers/compose.logging.yaml", "run", "--rm", "-T", "--no-deps"),
        *("jobs", "releases", "--history"), variables={**there, "NIGHTSHELF_TRACES": ""},
    )  # fmt: skip
    last = shown.stdout.splitlines()[-1]

    def sent() -> bool:
        received = _received(stack, "vector")
        return b"com.docker.compose.service" in received and last[:80].encode() in received

    until(sent, "the line and its service", 60, 0.5)
    assert (
        docker(
            "inspect", "--format", "{{.HostConfig.LogConfig.Type}}", stack.containers("vector")[0]
        )
        == "json-file"
    )
