"""What an edge replica is installed with: the `serving` extra alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import free_ports
from tests.serving.conftest import Replica

ROOT = Path(__file__).parents[2]
UV = ROOT / ".tools" / "bin" / "uv"
MOST_BYTES = 30_000_000


def _uv(*arguments: str | Path) -> None:
    done = subprocess.run([UV, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_serving_environment_is_small_and_enough(tmp_path: Path) -> None:
    """Lock and wheel installed into an empty environment take 30 MB at most, and a replica starts from it."""
    environment, wheels = tmp_path / "environment", tmp_path / "wheels"
    _uv("venv", "--python", sys.executable, environment)
    lock = "deploy/requirements/serving.txt"
    _uv("pip", "sync", "--python", environment, "--require-hashes", lock)
    _uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", wheels)
    _uv("pip", "install", "--python", environment, "--no-deps", *wheels.glob("*.whl"))
    files = [path for path in environment.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    port, nobody = free_ports(2)
    process = subprocess.Popen(
        [environment / "bin" / "nightshelf-edge"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "NIGHTSHELF_EDGE_PORT": str(port),
            "NIGHTSHELF_REDIS": f"127.0.0.1:{nobody}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    replica = Replica(f"http://127.0.0.1:{port}", process)
    try:
        replica.wait_for(_answers)
        assert replica.get("/v1/users/7/recommendations").status == 503
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) in {0, -signal.SIGTERM}


def _answers(replica: Replica) -> bool:
    try:
        return replica.get("/healthz").status == 200
    except OSError:
        return False
