"""The images by themselves: small, without what installed them, and saying what they are."""

import json

import pytest

from tests.deploy.stack.daemon import PYTHON_IMAGE, docker
from tests.deploy.stack.deployed import VERSIONS, Deployed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

OURS = ("serving", "jobs", "airflow", "proxy", "waf", "monitoring")


@pytest.mark.parametrize("name", OURS)
def test_an_image_says_what_it_is_and_runs_as_nobody(empty_stack: Deployed, name: str) -> None:
    """Version and revision as labels, a user by number, the same layers for the same source."""
    (image,) = json.loads(docker("image", "inspect", f"nightshelf/{name}:{VERSIONS[0]}"))
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == VERSIONS[0]
    assert len(labels["org.opencontainers.image.revision"]) == 40
    assert image["Config"]["User"] == "10001:10001"
    assert empty_stack.containers()


@pytest.mark.parametrize("name", OURS)
def test_nothing_that_installs_or_builds_is_left(empty_stack: Deployed, name: str) -> None:
    """Neither pip nor uv nor a compiler, as a program or as a module."""
    assert empty_stack.containers()
    script = (
        "for tool in pip pip3 uv gcc cc make; do command -v $tool; done; "
        "for python in python3 /opt/*/bin/python; do $python -c 'import pip' 2>/dev/null && echo $python; done; true"
    )
    image = f"nightshelf/{name}:{VERSIONS[0]}"
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", script) == ""


def test_the_image_of_the_edge_is_small(empty_stack: Deployed) -> None:
    """What it adds to Debian with Python is below 60 MB: its environment, compiled."""
    assert empty_stack.containers()
    base = _size_mb(PYTHON_IMAGE)
    sizes = {name: _size_mb(f"nightshelf/{name}:{VERSIONS[0]}") - base for name in OURS}
    print(f"MB beside Debian with Python ({base:.0f}): {sizes}")
    assert sizes["serving"] < 60


def _size_mb(image: str) -> float:
    return round(int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6, 1)
