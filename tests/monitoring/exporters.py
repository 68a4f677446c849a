"""The exporters beside the house: those of `make monitoring`, and Postgres's."""

from typing import TYPE_CHECKING

from deploy.local import monitors
from deploy.local.monitors import MonitoringSettings
from tests.monitoring.receiver import HOST

if TYPE_CHECKING:
    from tests.monitoring.house import House

#: The exporters' names here and there.
PARTS = ("node", "redis", "nginx", "blackbox", "process", "statsd")


def start_all(house: "House") -> None:
    """Start every exporter."""
    for part in PARTS:
        start(house, part)
    # There is no database at first: the exporter says so, and that is what is asked of it.
    start_postgres(house, f"postgresql://nobody@{HOST}:1/none")


def start_postgres(house: "House", database: str) -> None:
    """Start the exporter of a database that a URL names."""
    house.start(
        "postgres",
        ["prometheus-postgres-exporter", f"--web.listen-address={house.at['postgres']}"],
        DATA_SOURCE_NAME=f"{database}?sslmode=disable",
    )


def start(house: "House", part: str) -> None:
    """Start one exporter."""
    ports = {f"local_{one}_exporter_port": house.ports[f"{one}-exporter"] for one in PARTS}
    commands = monitors.exporters(
        MonitoringSettings(**ports),
        house.folder,
        house.url("nginx", "/nginx-status"),
        house.ports["statsd"],
    )
    house.start(f"{part}-exporter", commands[f"{part}-exporter"])
