"""Docker, and images of everything the stack runs, made on this machine.

In: Debian's packages (dockerd, docker, debootstrap) and the lock files. Out: a daemon that answers; images under
names of our own. Guarantees that a daemon which was there before is left running, that one started here ends with
the block, and that a base image is made once and kept under its tag. Where no daemon can run, tests are skipped
with the reason.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.waiting import until

ROOT = Path(__file__).resolve().parents[3]
PYTHON_IMAGE = "nightshelf-test/python:bookworm"
STAND_INS = {
    "REDIS_IMAGE": "nightshelf-test/redis:bookworm",
    "POSTGRES_IMAGE": "nightshelf-test/postgres:bookworm",
}
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def docker(*arguments: str) -> str:
    """Return what the docker command prints; its errors go to the test's own."""
    done = subprocess.run(["docker", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def _answers() -> bool:
    asked = subprocess.run(["docker", "version"], check=False, capture_output=True)
    return asked.returncode == 0


@contextmanager
def running_docker(folder: Path) -> Iterator[None]:
    """Start dockerd if none answers, and end it with the block."""
    if _answers():
        yield
        return
    if os.geteuid() != 0:
        pytest.skip("no dockerd answers, and only root can start one")
    log = folder / "dockerd.log"
    with log.open("w") as file:
        daemon = subprocess.Popen(["dockerd"], stdout=file, stderr=subprocess.STDOUT)
    try:
        until(lambda: _answers() or daemon.poll() is not None, "dockerd answers", 60, 0.2)
        if daemon.poll() is not None:
            pytest.skip(f"dockerd does not run here: {log.read_text().splitlines()[-1]}")
        yield
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)


def _has(image: str) -> bool:
    return bool(docker("images", "--quiet", image))


def make_images(folder: Path, versions: tuple[str, ...]) -> Mapping[str, str]:
    """Make every image the stack needs, ours once for each version; return the variables that name them."""
    if not _has(PYTHON_IMAGE):
        _make_base(folder / "base")
    for image in STAND_INS.values():
        target = image.removeprefix("nightshelf-test/").split(":")[0]
        build("--target", target, "--tag", image, str(ROOT / "tests/deploy/images"))
    for version in versions:
        subprocess.run(
            [str(ROOT / "deploy/containers/stack.sh"), "build", version],
            env={**environment(folder), "COMPOSE_PROFILES": "proxy,waf,monitoring"},
            check=True,
        )
    return STAND_INS


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of deploy/containers/stack.sh: no settings of this machine, our base image."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTSHELF_")}
    settings = folder / ".env"
    settings.touch()
    return {
        **kept,
        "NIGHTSHELF_SETTINGS": str(settings),
        "PYTHON_IMAGE": PYTHON_IMAGE,
        "DOCKER_BUILDKIT": "0",
    }


def build(*arguments: str) -> None:
    """Build an image from the base of ours."""
    subprocess.run(
        ["docker", "build", "--quiet", "--build-arg", f"PYTHON_IMAGE={PYTHON_IMAGE}", *arguments],
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _make_base(system: Path) -> None:
    """Debian 12 with Python 3.11, with the authorities that this machine trusts."""
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(
        ["debootstrap", "--variant=minbase", packages, "bookworm", str(system)],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    shutil.copy(_AUTHORITIES, system / _AUTHORITIES.relative_to("/"))
    for leftover in [
        *system.glob("var/cache/apt/archives/*.deb"),
        *system.glob("var/lib/apt/lists/*_*"),
    ]:
        leftover.unlink()
    # pip and uv have authorities of their own otherwise.
    trusted = f"ENV PIP_CERT={_AUTHORITIES} SSL_CERT_FILE={_AUTHORITIES}"
    with subprocess.Popen(["tar", "-C", str(system), "-c", "."], stdout=subprocess.PIPE) as packed:
        subprocess.run(
            ["docker", "import", "--change", trusted, "-", PYTHON_IMAGE],
            stdin=packed.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    assert packed.returncode == 0
    shutil.rmtree(system)
