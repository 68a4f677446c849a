"""Handed cases are collected only where NIGHTSHELF_CASES names their folder; situations of the store always are."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.environment import Node
from tests.cases.case import Case
from tests.cases.shop import Shop
from tests.serving.conftest import Replica, ending, start_replica

collect_ignore = [] if os.environ.get("NIGHTSHELF_CASES") else ["test_files.py", "test_drops.py"]


@pytest.fixture
def case(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Case:
    """The commands of one case, with artifacts of its own."""
    return Case(tmp_path, capsys, caplog, monkeypatch)


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
