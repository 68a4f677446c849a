"""What fires in a house, and who hears of it."""

from tests.monitoring.house import House

#: Alerts about the machine the test runs on (busy, full), the switch that is always on, and what is not there: the
#: database and Airflow.
AMBIENT = frozenset(
    {
        *("DeadMansSwitch", "HostCpuHigh", "HostMemoryHigh", "HostDiskFull", "PostgresDown"),
        "AirflowSilent",
        *("LatencyBurnFast", "LatencyBurnSlow", "ResponseTimeHigh"),
    }
)


def firing(house: House) -> set[str]:
    """Return the names of alerts that fire, whether anybody is told or not."""
    return {one["metric"]["alertname"] for one in house.ask('ALERTS{alertstate="firing"}')}


def told(house: House) -> list[dict[str, str]]:
    """Return the labels of each alert that was received, whatever its status, but those about the machine."""
    labels = (one["labels"] for one in house.receiver.received)
    return [one for one in labels if one["alertname"] not in AMBIENT]


def heard(house: House) -> set[str]:
    """Return the names of alerts that were received as firing, but those about the machine."""
    return house.receiver.names() - AMBIENT
