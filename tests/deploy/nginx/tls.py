"""Certificates that tests make themselves, and requests over TLS.

In: a folder, a port. Out: a key pair for localhost, answers over verified connections.
"""

import http.client
import ssl
import subprocess
from pathlib import Path

from tests.deploy.nginx.front import PATIENCE_S, Answer, Front, fetch

#: NGINX with a self-signed pair: (NGINX, its TLS port, the certificate).
Secure = tuple[Front, int, Path]


def certified(folder: Path, common_name: str = "localhost") -> tuple[Path, Path]:
    """Write a self-signed pair for localhost and return the paths of certificate and key."""
    certificate, key = folder / "edge.pem", folder / "edge.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={common_name}"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def get(port: int, certificate: Path, path: str) -> Answer:
    """Return the answer over TLS; the certificate is verified."""
    context = ssl.create_default_context(cafile=str(certificate))
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=PATIENCE_S)
    return fetch(connection, path, "GET", {"Connection": "close"})
