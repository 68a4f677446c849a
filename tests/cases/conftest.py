"""A shop with four published days before a real cluster, and an edge replica that serves it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.environment import Node
from tests.cases.shop import Shop
from tests.serving.conftest import Replica, ending, start_replica


@pytest.fixture
def shop(
    redis_nodes: tuple[Node, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    """A shop whose fourth day is live, before three primaries."""
    opened = Shop(redis_nodes, tmp_path, capsys, monkeypatch)
    opened.open()
    return opened


@pytest.fixture
def replica(shop: Shop) -> Iterator[Replica]:
    """An edge replica that serves the shop."""
    with ending(start_replica(shop.nodes)) as running:
        yield running
