"""Research reports its figures as benchmarks do."""

from tests.benchmarks.conftest import report  # noqa: F401  # a fixture
