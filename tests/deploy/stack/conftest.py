"""One running stack for all tests of this folder, with a small release live in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.stack.daemon import running_docker
from tests.deploy.stack.deployed import Deployed, deployed, publish


@pytest.fixture(scope="session")
def docker_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A daemon that answers, and a folder."""
    folder = tmp_path_factory.mktemp("deployed")
    with running_docker(folder):
        yield folder


@pytest.fixture(scope="session")
def empty_stack(docker_daemon: Path) -> Iterator[Deployed]:
    """The whole stack, healthy."""
    with deployed(docker_daemon) as stack:
        yield stack


@pytest.fixture(scope="session")
def release(empty_stack: Deployed) -> str:
    """The id of the live release."""
    return publish(empty_stack)


@pytest.fixture
def stack(empty_stack: Deployed, release: str) -> Deployed:
    """The stack, whole, with two replicas of the edge that serve the release."""
    assert release
    assert len(empty_stack.containers("edge")) == 2
    empty_stack.wait_personal()
    return empty_stack
