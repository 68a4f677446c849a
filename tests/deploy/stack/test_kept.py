"""What cannot be rebuilt is kept: Airflow's runs and the artifacts survive the loss of every volume."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.deploy.stack.daemon import ROOT
from tests.deploy.stack.deployed import DAYS, Deployed
from tests.harness.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
_TRAIN = "recommender_train"
_FEW = ("--users", "5", "--books", "30", "--ratings", "50")


def test_airflow_runs_the_job_inside_the_stack(stack: Deployed, release: str) -> None:
    """A day that has arrived is trained, judged, published and put live by Airflow's own runs, after the day before."""
    airflow = stack.airflow
    assert release.startswith(DAYS[1])
    airflow.unpause(_TRAIN)
    run = airflow.trigger(_TRAIN, {}, DAYS[2])
    assert airflow.wait(_TRAIN, run, 600) == "success", airflow.failures(_TRAIN, run)

    def live() -> bool:
        # So few readers make a verdict of `hold`: the run that publishes asks, and gets a yes.
        airflow.approve_all()
        return str(stack.list_of(1)["release"]).startswith(DAYS[2])

    until(live, "its release is live", 600, 1)


def test_backup_wipe_restore_gives_the_same_answers(stack: Deployed, tmp_path: Path) -> None:
    """`make backup`, every volume deleted, `up`, `make restore`: the same lists, runs of Airflow, journal."""
    folder = tmp_path / "backup"
    lists, runs, known = stack.lists(), _runs(stack), _releases(stack)
    _make(stack, "backup", folder)
    assert {file.name for file in folder.iterdir()} == {"airflow.sql.gz", "artifacts.tar.gz"}
    stack.compose("down", "--volumes", "--timeout", "10")
    started = time.monotonic()
    stack.run("up")
    assert stack.get("/v1/users/1/recommendations")[0] == 503
    _make(stack, "restore", folder)
    until(lambda: stack.get("/v1/users/1/recommendations")[0] == 200, "lists", 120, 0.5)
    stack.wait_personal()
    print(f"everything lost, images there: whole again after {time.monotonic() - started:.0f} s")
    assert stack.lists() == lists
    assert _runs(stack) == runs
    assert _releases(stack) == known


def test_the_artifacts_are_lost(stack: Deployed, tmp_path: Path) -> None:
    """People go on getting their lists; `make restore` brings the artifacts back, and with them the journal."""
    folder = tmp_path / "backup"
    lists, known = stack.lists(), _releases(stack)
    _make(stack, "backup", folder)
    stack.compose(
        *("run", "--rm", "-T", "--no-deps", "--entrypoint", "find"),
        *("jobs", "/artifacts", "-mindepth", "1", "-delete"),
    )
    assert not _has(stack, "journal")
    assert stack.lists() == lists
    started = time.monotonic()
    _make(stack, "restore", folder)
    print(f"artifacts lost: there again after {time.monotonic() - started:.0f} s")
    stack.wait_personal()
    assert (stack.lists(), _releases(stack)) == (lists, known)


def test_a_restore_replaces_what_came_later(stack: Deployed, tmp_path: Path) -> None:
    """A file that is not in the backup is gone; a backup that is cut off is refused, and nothing was touched."""
    folder = tmp_path / "backup"
    _make(stack, "backup", folder)
    lists = stack.lists()
    stack.run("jobs", "synthesize", "--out", "/artifacts/later", *_FEW)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "airflow.sql.gz").write_bytes((folder / "airflow.sql.gz").read_bytes())
    (broken / "artifacts.tar.gz").write_bytes((folder / "artifacts.tar.gz").read_bytes()[:-100])
    assert stack.run("restore", str(broken), check=False).returncode != 0
    assert _has(stack, "later")
    _make(stack, "restore", folder)
    assert not _has(stack, "later")
    stack.wait_personal()
    assert stack.lists() == lists


def _make(stack: Deployed, target: str, folder: Path) -> None:
    done = subprocess.run(
        ["make", "--directory", str(ROOT), target, f"FOLDER={folder}"],
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def _has(stack: Deployed, name: str) -> bool:
    found = stack.compose(
        "run", "--rm", "-T", "--no-deps", "--entrypoint", "ls", "jobs", "/artifacts"
    )
    return name in found.stdout.split()


def _runs(stack: Deployed) -> dict[str, str]:
    return {run["dag_run_id"]: run["state"] for run in stack.airflow.runs(_TRAIN)}


def _releases(stack: Deployed) -> dict[str, str]:
    found = json.loads(stack.run("jobs", "releases").stdout.splitlines()[-1])
    return {name: found[name] for name in ("live", "previous")}
