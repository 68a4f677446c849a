"""What kustomize makes of deploy/kubernetes, and Secrets as deploy/kubernetes/secrets.sh makes them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.kubernetes.rendered import KUBERNETES, RENDERED, ROOT, Rendered


@pytest.fixture(scope="session")
def rendered() -> dict[str, Rendered]:
    """The objects of the base, of both overlays and of the Job by hand."""
    return {
        name: Rendered(
            [
                document
                for document in yaml.safe_load_all(
                    subprocess.run(
                        [_tool("kubectl"), "kustomize", str(KUBERNETES / name)],
                        capture_output=True,
                        text=True,
                        check=True,
                    ).stdout
                )
                if document
            ]
        )
        for name in RENDERED
    }


@pytest.fixture(scope="session")
def secrets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with secrets and certificates, as the README has it."""
    folder = tmp_path_factory.mktemp("secrets")
    nodes = [*(f"redis-{number}" for number in range(1, 7)), "localhost"]
    for command in (
        ["deploy/secrets.sh", "make"],
        ["deploy/certificates.sh", "redis", str(folder), *nodes],
        ["deploy/certificates.sh", "edge", str(folder), "books.test"],
    ):
        environment = {**os.environ, "NIGHTSHELF_SECRETS": str(folder)}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return folder


@pytest.fixture(scope="session")
def secrets(secrets_folder: Path) -> dict[str, dict[str, str]]:
    """The Secrets that are made from it: name -> key -> base64."""
    made = subprocess.run(
        [str(KUBERNETES / "secrets.sh"), "print"],
        env={
            **os.environ,
            "NIGHTSHELF_SECRETS": str(secrets_folder),
            "NIGHTSHELF_POSTGRES_HOST": "postgres.test",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {
        secret["metadata"]["name"]: secret["data"] for secret in yaml.safe_load_all(made) if secret
    }


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
