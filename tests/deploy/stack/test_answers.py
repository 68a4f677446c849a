"""The stack from images: a release is computed in it, and its lists come through NGINX over TLS."""

import http.client
import json
import ssl
from contextlib import closing
from typing import Any

import pytest

from tests.deploy.stack.daemon import docker
from tests.deploy.stack.deployed import Deployed
from tests.harness.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_lists_come_through_nginx_over_tls(stack: Deployed) -> None:
    """Ten books for a known user from the live release, none twice; popularity for an unknown one."""
    answer = stack.own_list_of(1)
    assert (
        answer["release"]
        == json.loads(stack.run("jobs", "releases").stdout.splitlines()[-1])["live"]
    )
    assert answer["source"] == "als"
    assert len({item["book_id"] for item in answer["items"]}) == 10
    # What a busy machine answers from a fallback is asked for again.
    until(lambda: stack.list_of(999_999)["reason"] == "unknown_user", "a popular list", 120, 0.5)


def test_a_client_that_does_not_know_the_certificate_refuses(stack: Deployed) -> None:
    """Over TLS with the pair from the secrets, and no other; TLS 1.1 is refused."""
    strange = http.client.HTTPSConnection("localhost", stack.address.port, timeout=10)
    with pytest.raises(ssl.SSLCertVerificationError):
        strange.request("GET", "/")


def test_plain_http_is_sent_to_the_public_address(stack: Deployed) -> None:
    """A redirect to https at the address from the settings."""
    published = _inspected(stack, "nginx")["NetworkSettings"]["Ports"]["8080/tcp"][0]
    plain = http.client.HTTPConnection("127.0.0.1", int(published["HostPort"]), timeout=10)
    with closing(plain) as connection:
        connection.request("GET", "/v1/popular")
        response = connection.getresponse()
        response.read()
    assert response.status in {301, 308}
    assert response.getheader("Location") == f"https://localhost:{stack.address.port}/v1/popular"


def test_every_part_is_healthy(stack: Deployed) -> None:
    """Each running container says so itself where it has a check, and none was started twice."""
    services = set()
    for container in stack.containers():
        found = json.loads(docker("inspect", container))[0]
        services.add(found["Config"]["Labels"]["com.docker.compose.service"])
        assert found["RestartCount"] == 0, found["Name"]
        assert found["State"].get("Health", {}).get("Status", "healthy") == "healthy", found["Name"]
    assert services == {
        *(f"redis-{number}" for number in range(1, 7)),
        *("edge", "nginx", "postgres", "airflow-api", "airflow-scheduler", "airflow-dag-processor"),
    }


def _inspected(stack: Deployed, service: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", stack.containers(service)[0]))[0]
    return found
