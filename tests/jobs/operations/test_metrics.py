"""What Prometheus is told about the batch."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.operations import metrics
from jobs.pipeline import activate, publish
from jobs.runtime import command_status
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.files import write_json
from jobs.runtime.settings import Settings
from tests.conftest import free_ports
from tests.harness.command_line import run
from tests.harness.releases import write_release

PREFIX = "nightshelf_batch_"
TODAY = "2026-11-30"


def _told(artifacts: Artifacts) -> dict[str, float]:
    """Return all series as "name{label=value,...}" without the prefix."""
    out = artifacts.root / "batch.prom"
    metrics.run(artifacts, out, lambda: TODAY)
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(out.read_text()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            name = sample.name.removeprefix(PREFIX)
            found[f"{name}{{{labels}}}" if labels else name] = sample.value
    return found


def _record(
    step: str, counts: dict[str, object], *, started: str = "2026-01-02T03:00:00+00:00"
) -> dict[str, object]:
    return {
        "step": step,
        "run_by": "nightshelf",
        "started_at": started,
        "duration_s": 60.0,
        "peak_memory_bytes": 1000,
        "counts": counts,
    }


def _whole(root: Path, partition: str, variant: int = 0, verdict: str = "go") -> str:
    """Write a release with records as steps leave them and return its id."""
    folder = write_release(root, partition, variant=variant, verdict=verdict)
    extracted: dict[str, object] = {
        "rows_in": 100, "rows_accepted": 90, "rejects": {"unknown_book": 7, "superseded": 3},
        "users": 30, "books": 40, "data_as_of": f"{partition}T12:00:00+00:00",
    }  # fmt: skip
    trained: dict[str, object] = {"trained_at": f"{partition}T12:00:00+00:00", "positives": 80}
    steps: dict[str, dict[str, object]] = {
        "extract": extracted,
        "train": trained,
        "evaluate": {"verdict": verdict},
    }
    for step, counts in steps.items():
        write_json(folder.records / f"{step}.json", _record(step, counts))
    interval = {"value": 0.2, "low": 0.1, "high": 0.3}
    write_json(folder.evaluation, {"metrics": {"als": {"ndcg_at_10": interval, "less": {}}}})
    return folder.release


def test_a_release_is_told_with_its_rows_times_and_quality(tmp_path: Path) -> None:
    """Every number is one of the files': counts, ends of steps, verdict, checks, interval."""
    release = _whole(tmp_path, "2026-01-01", verdict="hold")
    told = _told(Artifacts(tmp_path))
    assert told[f"release_info{{partition=2026-01-01,release={release},role=newest}}"] == 1
    assert told["step_duration_seconds{step=extract}"] == 60
    assert told["step_peak_memory_bytes{step=train}"] == 1000
    # 2026-01-02T03:01:00Z
    assert told["step_last_success_timestamp_seconds{step=train}"] == 1767322860
    assert told["step_rows_in{step=extract}"] == 100
    assert told["step_rows_rejected{step=extract}"] == 10
    assert told["rows_rejected{reason=unknown_book,role=newest}"] == 7
    # 2026-01-01T12:00:00Z
    assert told["data_as_of_timestamp_seconds{role=newest}"] == 1767268800
    assert told["trained_timestamp_seconds{role=newest}"] == 1767268800
    assert [told[f"gate_verdict{{role=newest,verdict={v}}}"] for v in ("go", "hold", "stop")] == [
        0,
        1,
        0,
    ]
    assert told["check_status{role=newest,status=passed,table=lists}"] == 1
    assert told["quality{metric=ndcg_at_10,model=als,role=newest}"] == 0.2
    assert told["quality_low{metric=ndcg_at_10,model=als,role=newest}"] == 0.1
    assert told["quality_high{metric=ndcg_at_10,model=als,role=newest}"] == 0.3
    # Since the end of evaluate, which gave the verdict.
    assert told["waiting_approval_since_timestamp_seconds"] == 1767322860


def test_a_release_that_went_live_waits_for_nobody(
    settings: Settings, artifacts: Artifacts
) -> None:
    """After the activation of a release on hold its role is live, too, and the journal's time is told."""
    release = _whole(artifacts.root, "2026-01-01", verdict="hold")
    publish.run(artifacts.release(release), settings)
    activate.run(artifacts, release, settings)
    told = _told(artifacts)
    assert told["waiting_approval_since_timestamp_seconds"] == 0
    assert told[f"release_info{{partition=2026-01-01,release={release},role=live}}"] == 1
    assert told["activated_timestamp_seconds"] > 1767268800
    assert told["step_rows_in{step=publish}"] > 0


def test_fifty_releases_are_as_many_series_as_two(tmp_path: Path) -> None:
    """What is told of releases does not grow with their number."""
    sizes = []
    for count in (2, 50):
        for day in range(count):
            _whole(tmp_path, f"2026-{1 + day // 28:02}-{1 + day % 28:02}")
        sizes.append(len(_told(Artifacts(tmp_path))))
    assert sizes[0] == sizes[1]


def test_a_changed_release_is_read_again(tmp_path: Path) -> None:
    """The same reader sees a verdict that was replaced."""
    release = _whole(tmp_path, "2026-01-01")
    artifacts = Artifacts(tmp_path)
    registry = metrics.registry(artifacts, lambda: TODAY)
    wanted = {"role": "newest", "verdict": "stop"}
    assert registry.get_sample_value(f"{PREFIX}gate_verdict", wanted) == 0
    write_json(artifacts.release(release).decision, {"release": release, "verdict": "stop"})
    assert registry.get_sample_value(f"{PREFIX}gate_verdict", wanted) == 1


def test_a_broken_file_is_counted_and_hides_nothing_else(tmp_path: Path) -> None:
    """A decision cut short: one unreadable release; the steps of the other are told."""
    _whole(tmp_path, "2026-01-01")
    broken = Artifacts(tmp_path).release(_whole(tmp_path, "2026-01-02"))
    broken.decision.write_text('{"verd')
    told = _told(Artifacts(tmp_path))
    assert told["unreadable_files{kind=releases}"] == 1
    assert told["unreadable_files{kind=journal}"] == 0
    assert told["step_duration_seconds{step=extract}"] == 60


def test_an_empty_folder_tells_that_there_is_nothing(tmp_path: Path) -> None:
    """No artifacts yet: zeros and absent series, no error."""
    told = _told(Artifacts(tmp_path))
    assert told["releases"] == 0
    assert told["activated_timestamp_seconds"] == 0
    assert not [name for name in told if name.startswith("step_")]


def test_commands_tell_how_they_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed extract counts by its exit code, under the DAG that ran it; `releases` is no attempt."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    monkeypatch.setenv("NIGHTSHELF_RUN_BY", "recommender_train/manual__1")
    assert run(capsys, "extract", "--partition", "2026-01-01").exit_code == 4
    assert run(capsys, "extract", "--partition", "2026-01-01").exit_code == 4
    told = _told(Artifacts(tmp_path))
    labels = "command=extract,dag=recommender_train"
    assert told[f"commands_total{{{labels},exit_code=4}}"] == 2
    assert told[f"command_exit_code{{{labels}}}"] == 4
    assert (
        told[f"command_last_failure_timestamp_seconds{{{labels}}}"]
        >= told[f"command_begun_timestamp_seconds{{{labels}}}"]
    )
    assert f"command_last_success_timestamp_seconds{{{labels}}}" not in told
    assert len(list(Artifacts(tmp_path).attempts.glob("*.json"))) == 1


def test_a_killed_command_has_begun_and_not_ended(tmp_path: Path) -> None:
    """SIGKILL in the middle: the beginning is on disk, an end is not."""
    program = (
        "import os, signal\nfrom jobs.runtime import command_status\n"
        "with command_status.kept(['train', '--release', 'x']):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "NIGHTSHELF_ARTIFACTS": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    told = _told(Artifacts(tmp_path))
    assert told["command_begun_timestamp_seconds{command=train,dag=}"] > 0
    assert "command_ended_timestamp_seconds{command=train,dag=}" not in told


def test_what_cannot_be_counted_does_not_change_how_a_command_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a file where the folder should be, the command ends as it would and says what was not counted."""
    (tmp_path / "attempts").write_text("")
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    ended = run(capsys, "extract", "--partition", "2026-01-01")
    assert ended.exit_code == 4
    assert "could not be counted" in ended.text


@pytest.mark.parametrize(
    ("run_by", "dag"),
    [
        ("recommender_train/scheduled__2026-01-01", "recommender_train"),
        ("make demo", ""),
        ("a b/c", ""),
        ("/x", ""),
    ],
)
def test_the_dag_is_what_stands_before_the_run_id(run_by: str, dag: str) -> None:
    """People and scripts have no DAG."""
    assert command_status.dag_of(run_by) == dag


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """`nightshelf metrics --listen` over the artifacts of this test."""
    port = free_ports(1)[0]
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("nightshelf")),
            "metrics",
            "--listen",
            f"127.0.0.1:{port}",
        ],
        env={**os.environ, "NIGHTSHELF_ARTIFACTS": str(tmp_path)},
    )
    yield f"http://127.0.0.1:{port}/metrics"
    process.terminate()
    process.wait(timeout=60)


def _scraped(url: str) -> str:
    for _ in range(400):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # loopback
                return str(answer.read().decode())
        except OSError:
            subprocess.run(["sleep", "0.05"], check=True)
    raise AssertionError(f"nothing answers at {url}")


def test_the_command_serves_what_the_disk_says_now(served: str, tmp_path: Path) -> None:
    """A release that appears after the start is in the next scrape."""
    assert f"{PREFIX}releases 0.0" in _scraped(served)
    _whole(tmp_path, "2026-01-01")
    assert f"{PREFIX}releases 1.0" in _scraped(served)


def test_the_command_takes_one_of_its_two_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither or both is wrong usage; --out writes the file and says how large it is."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    assert run(capsys, "metrics").exit_code == 2
    assert run(capsys, "metrics", "--listen", "x", "--out", "y").exit_code == 2
    assert run(capsys, "metrics", "--listen", "nowhere").exit_code == 2
    out = tmp_path / "x.prom"
    assert run(capsys, "metrics", "--out", out).outcome == {
        "out": str(out),
        "bytes": len(out.read_text()),
    }
    assert json.dumps(out.read_text()).count("nightshelf_batch_releases") > 0


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(tmp_path: Path) -> None:
    """It is counted among what could not be read, and nothing at all is no trouble."""
    assert _told(Artifacts(tmp_path))["unreadable_files{kind=releases}"] == 0
    for name in ("releases", "attempts"):
        (tmp_path / name).write_text("a file where a folder should be")
    told = _told(Artifacts(tmp_path))
    assert told["unreadable_files{kind=releases}"] == told["unreadable_files{kind=attempts}"] == 1
