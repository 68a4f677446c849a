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
    # There is no database here: the exporter says so, and that is what is asked of it.
    house.start(
        "postgres",
        ["prometheus-postgres-exporter", f"--web.listen-address={house.at['postgres']}"],
        DATA_SOURCE_NAME=f"postgresql://nobody@{HOST}:1/none?sslmode=disable",
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
