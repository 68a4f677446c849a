"""TLS: protocols, HTTP/2, the redirect, a renewed certificate."""

import http.client
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from deploy.nginx import configuration
from tests.deploy.nginx.tls import Secure, certified, get
from tests.harness.waiting import until


def _common_name(port: int) -> str:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        der = wrapped.getpeercert(binary_form=True)
    assert der is not None
    return subprocess.run(
        ["openssl", "x509", "-noout", "-subject", "-nameopt", "multiline"],
        input=ssl.DER_cert_to_PEM_cert(der),
        text=True,
        capture_output=True,
        check=True,
    ).stdout


def test_answers_come_over_tls(secure: Secure) -> None:
    """A verified connection gets the API and the page, and is told to stay with TLS."""
    _, port, certificate = secure
    for path in ("/v1/popular", "/"):
        answer = get(port, certificate, path)
        assert answer.status == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


def test_plain_http_is_sent_to_tls(secure: Secure) -> None:
    """308 to the public address with path and arguments, whatever Host says; nothing is answered in plain."""
    front, port, _ = secure
    for path in ("/v1/popular?limit=3", "/", "/metrics"):
        answer = front.get(path, Host="evil.example")
        assert answer.status == 308
        assert answer.headers["location"] == f"https://localhost:{port}{path}"


def test_http_2(secure: Secure) -> None:
    """Curl and NGINX agree on HTTP/2."""
    _, port, certificate = secure
    shown = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--http2", "--cacert", str(certificate)),
            *("--output", "/dev/null", "--write-out", "%{http_version} %{http_code}"),
            f"https://localhost:{port}/v1/users/1/recommendations",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert shown == "2 200"


@pytest.mark.parametrize(
    ("version", "ciphers", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1_2, "AES128-SHA:AES256-SHA:@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", True),
        (ssl.TLSVersion.TLSv1_3, None, True),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_protocols_and_ciphers_are_refused(
    secure: Secure,
    version: ssl.TLSVersion,
    ciphers: str | None,
    *,
    accepted: bool,
) -> None:
    """TLS 1.1, and 1.2 without forward secrecy, get no connection; 1.2 and 1.3 do."""
    _, port, certificate = secure
    context = ssl.create_default_context(cafile=str(certificate))
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    connection = socket.create_connection(("127.0.0.1", port))
    if accepted:
        with context.wrap_socket(connection, server_hostname="localhost") as wrapped:
            assert wrapped.version() in {"TLSv1.2", "TLSv1.3"}
    else:
        with connection, pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_hostname="localhost")


def test_plain_http_on_the_tls_port_is_a_problem(secure: Secure) -> None:
    """400 as problem+json, not a page of NGINX's."""
    _, port, _ = secure
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/v1/popular")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/problem+json")


def test_a_renewed_certificate_is_taken_up_by_a_reload(secure: Secure, tmp_path: Path) -> None:
    """The same files with another certificate: after a reload new connections get it."""
    front, port, _ = secure
    assert "localhost" in _common_name(port)
    certified(tmp_path, "renewed")
    configuration.reload(front.folder)
    until(lambda: "renewed" in _common_name(port), "the renewed certificate")
