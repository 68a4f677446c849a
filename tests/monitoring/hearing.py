"""What fires in a deployment, and who hears of it."""

from tests.monitoring.deployment import Deployment

#: Alerts about the machine the test runs on (busy, full), the switch that is always on, and what is not there: the
#: database and Airflow.
AMBIENT = frozenset(
    {
        *("DeadMansSwitch", "HostCpuHigh", "HostMemoryHigh", "HostDiskFull", "PostgresDown"),
        "AirflowSilent",
        *("LatencyBurnFast", "LatencyBurnSlow", "ResponseTimeHigh"),
    }
)


def firing(deployment: Deployment) -> set[str]:
    """Return the names of alerts that fire, whether anybody is told or not."""
    return {one["metric"]["alertname"] for one in deployment.ask('ALERTS{alertstate="firing"}')}


def told(deployment: Deployment) -> list[dict[str, str]]:
    """Return the labels of each alert that was received, whatever its status, but those about the machine."""
    labels = (one["labels"] for one in deployment.receiver.received)
    return [one for one in labels if one["alertname"] not in AMBIENT]


def heard(deployment: Deployment) -> set[str]:
    """Return the names of alerts that were received as firing, but those about the machine."""
    return deployment.receiver.names() - AMBIENT
