"""The deployment that all tests of running monitoring share."""

from collections.abc import Iterator

import pytest

from deploy.local import cluster
from schemas.environment import Node
from tests.conftest import free_ports
from tests.monitoring import exporters
from tests.monitoring.asking import until
from tests.monitoring.deployment import Deployment
from tests.monitoring.hearing import AMBIENT, firing
from tests.monitoring.receiver import HOST

_PARTS = (
    *("edge-a", "edge-b", "nginx", "nginx-metrics", "tls", "batch", "postgres", "statsd"),
    *(f"{part}-exporter" for part in exporters.PARTS),
    *("receiver", "prometheus", "alertmanager"),
)
_REDIS_NODES = 6


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Three shards with a Redis replica each, two edge replicas, and all around them, after one day's run."""
    ports = free_ports(_REDIS_NODES + len(_PARTS))
    nodes = tuple(Node(HOST, port) for port in ports[:_REDIS_NODES])
    by_name = dict(zip(_PARTS, ports[_REDIS_NODES:], strict=True))
    built = Deployment(tmp_path_factory.mktemp("deployment"), by_name, nodes)
    try:
        for node in nodes:
            built.start_redis(node.port)
        cluster.form([node.port for node in nodes], 1)
        built.run_a_day()
        built.start_parts()
        built.start_monitoring()
        yield built
    finally:
        built.close()


@pytest.fixture
def quiet(deployment: Deployment) -> Deployment:
    """The deployment with nothing firing and nothing received."""
    until(lambda: firing(deployment) <= AMBIENT, "the deployment is quiet")
    deployment.receiver.received.clear()
    return deployment
