"""The exporters beside the house, as Debian packages them."""

from typing import TYPE_CHECKING

from tests.monitoring.receiver import HOST
from tests.monitoring.rules import MONITORING

if TYPE_CHECKING:
    from tests.monitoring.house import House


def start_all(house: "House") -> None:
    """Start every exporter."""
    at = house.at
    house.start(
        "redis-exporter",
        ["prometheus-redis-exporter", "-web.listen-address", at["redis-exporter"]],
    )
    house.start(
        "nginx-exporter",
        ["prometheus-nginx-exporter", "-web.listen-address", at["nginx-exporter"],
         "-nginx.scrape-uri", house.url("nginx", "/nginx-status")],
    )  # fmt: skip
    start_node(house)
    # There is no database here: the exporter says so, and that is what is asked of it.
    house.start(
        "postgres",
        ["prometheus-postgres-exporter", f"--web.listen-address={at['postgres']}"],
        DATA_SOURCE_NAME=f"postgresql://nobody@{HOST}:1/none?sslmode=disable",
    )
    house.start(
        "blackbox",
        ["prometheus-blackbox-exporter", f"--web.listen-address={at['blackbox']}",
         f"--config.file={MONITORING / 'blackbox.yaml'}"],
    )  # fmt: skip


def start_node(house: "House") -> None:
    """Start the exporter of the host."""
    house.start("node", ["prometheus-node-exporter", f"--web.listen-address={house.at['node']}"])
