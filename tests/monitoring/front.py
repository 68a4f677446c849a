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
    from tests.monitoring.house import House


def start_nginx(house: "House") -> None:
    """Start NGINX before both replicas, with the exporter of its own answers, and wait until NGINX answers."""
    chosen = NginxSettings(
        nginx_listen=house.at["nginx"],
        nginx_replicas=f"{house.at['edge-a']},{house.at['edge-b']}",
        nginx_metrics_listen=house.at["nginx-metrics"],
    )
    configuration.write(house.folder / "nginx", chosen)
    house.start("nginx", configuration.command(house.folder / "nginx"))
    house.start(
        "nginx-metrics",
        [sys.executable, "-m", "deploy.nginx.exporter"],
        NIGHTSHELF_NGINX_METRICS_LISTEN=house.at["nginx-metrics"],
    )
    until(lambda: answers(house.url("nginx", "/healthz")), "NGINX answers")


def start_tls(house: "House") -> None:
    """Start a server with a certificate of 90 days and wait until it shakes hands."""
    certificate, key = house.folder / "edge.crt", house.folder / "edge.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj",
         "/CN=localhost", "-out", str(certificate), "-keyout", str(key)],
        check=True, capture_output=True,
    )  # fmt: skip
    house.start(
        "tls",
        ["openssl", "s_server", "-accept", house.at["tls"], "-cert", str(certificate),
         "-key", str(key), "-www", "-quiet"],
    )  # fmt: skip
    until(lambda: _shakes_hands(house.ports["tls"]), "TLS answers")


def _shakes_hands(port: int) -> bool:
    try:
        return bool(ssl.get_server_certificate((HOST, port)))
    except OSError:
        return False
