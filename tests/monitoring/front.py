"""What stands before the replicas: NGINX, and an address with a certificate."""

import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

from deploy.nginx import configuration
from deploy.nginx.settings import NginxSettings
from tests.monitoring.asking import answers, until
from tests.monitoring.receiver import HOST

if TYPE_CHECKING:
    from tests.monitoring.deployment import Deployment


def start_nginx(deployment: "Deployment") -> None:
    """Start NGINX before both replicas, with the exporter of its own answers, and wait until NGINX answers."""
    chosen = NginxSettings(
        nginx_listen=deployment.at["nginx"],
        nginx_replicas=f"{deployment.at['edge-a']},{deployment.at['edge-b']}",
        nginx_metrics_listen=deployment.at["nginx-metrics"],
    )
    configuration.write(deployment.folder / "nginx", chosen)
    deployment.start("nginx", configuration.command(deployment.folder / "nginx"))
    deployment.start(
        "nginx-metrics",
        [sys.executable, "-m", "deploy.nginx.exporter"],
        NIGHTSHELF_NGINX_METRICS_LISTEN=deployment.at["nginx-metrics"],
    )
    until(lambda: answers(deployment.url("nginx", "/healthz")), "NGINX answers")


def start_tls(deployment: "Deployment") -> None:
    """Start a server with a certificate of 90 days and wait until it shakes hands."""
    certificate, key = deployment.folder / "edge.crt", deployment.folder / "edge.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj",
         "/CN=localhost", "-out", str(certificate), "-keyout", str(key)],
        check=True, capture_output=True,
    )  # fmt: skip
    deployment.start(
        "tls",
        ["openssl", "s_server", "-accept", deployment.at["tls"], "-cert", str(certificate),
         "-key", str(key), "-www", "-quiet"],
    )  # fmt: skip
    until(lambda: _shakes_hands(deployment.ports["tls"]), "TLS answers")


def _shakes_hands(port: int) -> bool:
    try:
        return bool(ssl.get_server_certificate((HOST, port)))
    except OSError:
        return False
