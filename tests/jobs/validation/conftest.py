"""Fixtures for the tests of data quality."""

from pathlib import Path

import pytest

from jobs.runtime.artifacts import ReleaseFolder
from tests.harness import good_tables


@pytest.fixture
def release(tmp_path: Path) -> ReleaseFolder:
    """A release whose tables are all good."""
    return good_tables.write_release(tmp_path / "releases")


@pytest.fixture
def reference(tmp_path: Path) -> ReleaseFolder:
    """A release of the day before with fewer users, whose tables are all good."""
    return good_tables.write_release(tmp_path / "releases", good_tables.BEFORE, users=22)
