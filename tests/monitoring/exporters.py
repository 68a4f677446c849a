"""The exporters beside the deployment: those of `make monitoring`, and Postgres's."""

from typing import TYPE_CHECKING

from deploy.local import monitors
from deploy.local.monitors import MonitoringSettings
from tests.monitoring.receiver import HOST

if TYPE_CHECKING:
    from tests.monitoring.deployment import Deployment

#: The exporters' names here and there.
PARTS = ("node", "redis", "nginx", "blackbox", "process", "statsd")


def start_all(deployment: "Deployment") -> None:
    """Start every exporter."""
    for part in PARTS:
        start(deployment, part)
    # There is no database at first: the exporter says so, and that is what is asked of it.
    start_postgres(deployment, f"postgresql://nobody@{HOST}:1/none")


def start_postgres(deployment: "Deployment", database: str) -> None:
    """Start the exporter of a database that a URL names."""
    deployment.start(
        "postgres",
        ["prometheus-postgres-exporter", f"--web.listen-address={deployment.at['postgres']}"],
        DATA_SOURCE_NAME=f"{database}?sslmode=disable",
    )


def start(deployment: "Deployment", part: str) -> None:
    """Start one exporter."""
    ports = {f"local_{one}_exporter_port": deployment.ports[f"{one}-exporter"] for one in PARTS}
    commands = monitors.exporters(
        MonitoringSettings(**ports),
        deployment.folder,
        deployment.url("nginx", "/nginx-status"),
        deployment.ports["statsd"],
    )
    deployment.start(f"{part}-exporter", commands[f"{part}-exporter"])
