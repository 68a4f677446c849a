"""The jobs' settings from the environment."""

from pathlib import Path

import pytest

from jobs.runtime.errors import WrongUsage
from jobs.runtime.settings import Settings, from_environment
from schemas.environment import Node


def test_an_empty_environment_gives_the_defaults() -> None:
    """An empty variable counts as unset."""
    assert from_environment({}) == from_environment({"NIGHTSHELF_REDIS": ""}) == Settings()


def test_variables_are_read() -> None:
    """Each by its kind."""
    found = from_environment(
        {
            "NIGHTSHELF_ARTIFACTS": "/data/shelf",
            "NIGHTSHELF_REDIS": "a:1,b:2",
            "NIGHTSHELF_LEASE_S": "5",
            "NIGHTSHELF_NAMESPACE": "shelf-2.test_x",
        }
    )
    assert found.artifacts == Path("/data/shelf")
    assert found.redis == (Node("a", 1), Node("b", 2))
    assert (found.lease_s, found.namespace) == (5, "shelf-2.test_x")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NIGHTSHELF_ARTIFACTS", "s3://bucket/shelf"),
        ("NIGHTSHELF_REDIS", "7001"),
        ("NIGHTSHELF_NAMESPACE", "{shelf}"),
        ("NIGHTSHELF_NAMESPACE", "shelf*"),
        ("NIGHTSHELF_NAMESPACE", "a:b"),
        ("NIGHTSHELF_LEASE_S", "0"),
        ("NIGHTSHELF_KEEP_RELEASES", "many"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(variable: str, value: str) -> None:
    """The message names the variable."""
    with pytest.raises(WrongUsage, match=variable):
        from_environment({variable: value})
