"""What each exit code of `nightshelf` does to a task: the real command, run by Airflow."""

import itertools
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@dataclass(frozen=True)
class Ended:
    """How a task ended: its state, how often it was tried, its own log lines, its XCom, what it last showed."""

    state: str
    tries: int
    log: list[str]
    xcom: Any
    progress: str | None


Run = Callable[..., Ended]


@pytest.fixture
def run(dag_bag: Any, jobs_environment: Path, caplog: pytest.LogCaptureFixture) -> Run:
    """Run one command as the only task of a DAG, with one retry."""
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # not installed everywhere

    assert jobs_environment.is_dir()
    assert dag_bag.dags
    dag: Any = DagBag(Path(__file__).with_name("bundle")).dags["one_command"]

    def carry_out(*arguments: str) -> Ended:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            ended = dag.test(run_conf={"arguments": list(arguments)})
        task = ended.get_task_instance("command")
        told = [r.getMessage() for r in caplog.records if r.name == "nightshelf_airflow.command"]
        return Ended(
            str(task.state),
            task.try_number,
            told,
            task.xcom_pull(task_ids="command"),
            task.xcom_pull(task_ids="command", key="progress"),
        )

    return carry_out


def test_success_hands_the_last_line_on(run: Run) -> None:
    """Exit code 0: the task succeeds and its XCom is the command's last line."""
    ended = run("releases")
    assert ended.state == "success"
    assert ended.xcom["live"] is None
    assert ended.xcom["loaded"] == {}


def test_wrong_usage_is_not_tried_again(run: Run) -> None:
    """Exit code 2: the task fails at once."""
    ended = run("extract")
    assert (ended.state, ended.tries) == ("failed", 1)
    assert ended.log[0].startswith("Missing option '--partition'.\n  where: command line\n  do: ")


def test_a_gate_is_not_asked_again(run: Run, jobs_environment: Path, days: list[date]) -> None:
    """Exit code 3: the task fails at once (here: activation of a release that was never verified)."""
    release = f"{days[0]}-00000000"
    decision = jobs_environment / "releases" / release / "decision.json"
    decision.parent.mkdir(parents=True)
    reasons = [{"code": "lists", "text": "three lists hold a rated book"}]
    decision.write_text(json.dumps({"verdict": "stop", "reasons": reasons}), encoding="utf-8")
    ended = run("activate", "--release", release)
    assert (ended.state, ended.tries) == ("failed", 1)
    assert "never verified" in ended.log[0].split("\n")[0]


def test_broken_input_is_told_first(run: Run, days: list[date]) -> None:
    """Exit code 4: the task fails at once and its log begins with what, where and what to do."""
    ended = run("extract", "--partition", str(days[0]))
    assert (ended.state, ended.tries) == ("failed", 1)
    what, where, do = ended.log[0].split("\n")
    assert what
    assert where.startswith("  where: ")
    assert do.startswith("  do: ")


def test_nothing_to_do_skips(
    run: Run, jobs_environment: Path, small_books: Path, days: list[date]
) -> None:
    """Exit code 99: the task is skipped and says why (here: a day on which no drop arrived)."""
    first, last = str(days[0]), str(days[1])
    landed = run("replay", "--source", str(small_books), "--from", first, "--to", last)
    assert landed.state == "success"
    assert (jobs_environment / "drops" / "ratings").is_dir()
    ended = run("extract", "--partition", str(days[2]))
    assert ended.state == "skipped"
    assert ended.log[0].startswith("skipped: ")


def test_what_may_pass_is_tried_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1: the task is tried again (here: nobody answers where Redis should be)."""
    monkeypatch.setenv("NIGHTSHELF_REDIS", "127.0.0.1:1")
    ended = run("releases")
    assert (ended.state, ended.tries) == ("failed", 2)
    assert "127.0.0.1:1" in ended.log[0]


def test_a_crash_is_tried_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that breaks off without a word is tried again and called a crash."""
    monkeypatch.setenv("NIGHTSHELF_COMMAND", "/bin/false")
    ended = run("releases")
    assert (ended.state, ended.tries) == ("failed", 2)
    assert ended.log[0].startswith("`nightshelf releases` crashed with exit code 1")


def test_a_reason_that_comes_late_is_told_first(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After minutes of progress the log begins with the reason, and until then the run showed the last message."""
    command = tmp_path / "nightshelf"
    command.write_text(
        "#!/bin/sh\n"
        "echo reads the ratings >&2; echo computes factors >&2; echo 'error: no room' >&2\n"
        """echo '{"error": "no room", "where": "/data", "do": "make room"}'; exit 4\n""",
        encoding="utf-8",
    )
    command.chmod(0o755)
    monkeypatch.setenv("NIGHTSHELF_COMMAND", str(command))
    minutes = itertools.count(step=60)
    monkeypatch.setattr(
        "nightshelf_airflow.command.time", SimpleNamespace(monotonic=lambda: next(minutes))
    )
    ended = run("extract")
    assert (ended.state, ended.tries) == ("failed", 1)
    assert ended.log == [
        "no room\n  where: /data\n  do: make room",
        "What `nightshelf` said until then:",
        "reads the ratings",
        "computes factors",
    ]
    assert ended.progress == "error: no room"


def test_a_missing_jobs_environment_is_told_first(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the jobs environment the task fails at once and says where it was looked for and what to do."""
    monkeypatch.setenv("NIGHTSHELF_COMMAND", "/nonexistent/bin/nightshelf")
    ended = run("releases")
    assert (ended.state, ended.tries) == ("failed", 1)
    what, where, do = ended.log[0].split("\n")
    assert what == "the jobs environment cannot be started (No such file or directory)"
    assert where == "  where: /nonexistent/bin/nightshelf"
    assert "NIGHTSHELF_COMMAND" in do


def test_airflow_keeps_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sees the jobs' settings, who runs it, and nothing of Airflow's own settings."""
    from nightshelf_airflow.command import environment  # noqa: PLC0415  # needs Airflow

    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "a secret")
    monkeypatch.setenv("NIGHTSHELF_NAMESPACE", "shelf")
    seen = environment("recommender_train/one run")
    assert not [name for name in seen if name.startswith("AIRFLOW")]
    assert seen["NIGHTSHELF_NAMESPACE"] == "shelf"
    assert seen["NIGHTSHELF_RUN_BY"] == "recommender_train/one run"


def test_the_commands_of_a_run_are_one_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """With traces on each run has a trace of its own, the same for all its commands; a trace that is there goes on."""
    from nightshelf_airflow.command import environment  # noqa: PLC0415  # needs Airflow

    monkeypatch.delenv("TRACEPARENT", raising=False)
    monkeypatch.delenv("NIGHTSHELF_TRACES", raising=False)
    assert "TRACEPARENT" not in environment("a_dag/one")
    monkeypatch.setenv("NIGHTSHELF_TRACES", "http://127.0.0.1:4318/v1/traces")
    one, again, two = (environment(run)["TRACEPARENT"] for run in ("a/one", "a/one", "a/two"))
    # https://www.w3.org/TR/trace-context/#traceparent-header-field-values
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", one)
    assert one == again
    assert one[:35] != two[:35]
    # A question that belongs to no run begins a trace of its own.
    assert "TRACEPARENT" not in environment("airflow")
    monkeypatch.setenv("TRACEPARENT", two)
    assert environment("a/one")["TRACEPARENT"] == two
