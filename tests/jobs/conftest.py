"""Fixtures for steps that work on Redis."""

from pathlib import Path

import pytest

from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from jobs.store import changes
from schemas.environment import Node


@pytest.fixture
def settings(
    redis_nodes: tuple[Node, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Settings for the session's cluster, emptied, and artifacts of this test alone; open intents are dead at once."""
    monkeypatch.setattr(changes, "PATIENCE_S", 0.0)
    return Settings(artifacts=tmp_path, redis=redis_nodes, retire_grace_s=0)


@pytest.fixture
def artifacts(settings: Settings) -> Artifacts:
    """The artifacts of this test."""
    return Artifacts(settings.artifacts)
