"""Bad days: what they do to a run, what its log says first, and that the live release stays.

The shelf of test_chain.py.
"""

import html
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dags.places import JOBS, ROOT
from tests.dags.shelf import Shelf, states
from tests.dags.spoiling import FAULTS, spoilt
from tests.harness import html_page

#: What the log then names first: a part of where it lies, and of what is wrong.
_TOLD = {
    "a tenth of the rows is broken": ("rejected", " are bad ("),
    "the drop is empty": ("drops/ratings/ds=", "empty"),
    "a column has another name": ("drops/ratings/ds=", "rating"),
}


#: What the run's page then tells besides.
_SHOWN = {
    "a tenth of the rows is broken": "The rating is not 1 to 5",
    "the drop is empty": "land the drop again",
    "a column has another name": "Missing</span>: rating",
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_bad_drop(
    shelf: Shelf, own_log: Callable[[], list[str]], tmp_path: Path, what: str
) -> None:
    """A bad drop fails the day at once, reason first; it has a page, nothing is announced, what is live stays."""
    where, words = _TOLD[what]
    with spoilt(shelf.drop(shelf.days[3]), what, tmp_path):
        ended = shelf.run("recommender_train", partition=str(shelf.days[3]))
    assert _failed(ended) == {"extract": 1}
    assert states(ended)["announce"] == "upstream_failed"
    first = next(line for line in own_log() if "\n  where: " in line)
    assert words in first.split("\n")[0]
    assert_explained(first, where)
    problem = _problem(ended, "extract")
    assert first == f"{problem['what']}\n  where: {problem['where']}\n  do: {problem['do']}"
    page = Path(problem["report"])
    shown = page.read_text(encoding="utf-8")
    assert _SHOWN[what] in shown
    assert html_page.structure_problems(html_page.read(shown)) == []
    releases = shelf.artifacts / "releases"
    index = (releases / "index.html").read_text(encoding="utf-8")
    assert f'href="{page.relative_to(releases)}"' in index
    tab = _tab(ended, "report")
    assert tab.headers["location"] == f"/nightshelf/reports/{page.relative_to(releases)}"
    assert problem["do"] in _tab(ended, "model").body.decode()
    assert shelf.edge.release() == shelf.release


def test_a_validation_that_breaks_off(
    shelf: Shelf, own_log: Callable[[], list[str]], tmp_path: Path
) -> None:
    """One check cannot be carried out, the other is killed: the day fails, and its page tells both from bad data."""
    # The ratings' validation dies as one that runs out of memory does; the books' meets a bound that nothing can meet.
    command = tmp_path / "nightshelf"
    command.write_text(
        "#!/bin/sh\n"
        'case "$*" in "validate "*" --table interactions "*) kill -9 $$;; esac\n'
        f'exec "{JOBS / "bin" / "nightshelf"}" "$@"\n',
        encoding="utf-8",
    )
    command.chmod(0o755)

    def once(dag: Any) -> None:
        for table in ("interactions", "books"):
            dag.get_task(f"validate_{table}").retries = 0

    ended = shelf.run(
        "recommender_train",
        partition=str(shelf.days[2]),
        environment={"NIGHTSHELF_COMMAND": str(command), "NIGHTSHELF_EARLIEST_YEAR": "4000"},
        change=once,
    )
    assert _failed(ended) == {"validate_interactions": 1, "validate_books": 1}
    assert (states(ended)["announce"], states(ended)["report"]) == ("upstream_failed", "success")
    killed, crashed = _problem(ended, "validate_interactions"), _problem(ended, "validate_books")
    assert killed["what"] == "`nightshelf validate` crashed with exit code -9"
    assert crashed["what"].startswith("the books could not be validated: ")
    for line in (line for line in own_log() if "\n  where: " in line):
        assert_explained(line, where="")
    release = ended.get_task_instance("extract").xcom_pull(task_ids="extract")["release"]
    shown = html_page.read(shelf.page(release, "report.html"))
    text = " ".join("".join(shown.text).split())
    assert "Crashed : a check could not be carried out" in text.replace("Crashed:", "Crashed :")
    assert "Ratings · – Not validated" in text
    assert "Books · ! Crashed" in text
    index = (shelf.artifacts / "releases" / "index.html").read_text(encoding="utf-8")
    assert f'href="{release}/report.html"' in index
    tab = _tab(ended, "report")
    assert tab.headers["location"] == f"/nightshelf/reports/{release}/report.html"
    assert shelf.edge.release() == shelf.release


def test_no_jobs_environment(shelf: Shelf, own_log: Callable[[], list[str]]) -> None:
    """Without the jobs environment the run fails at its first command and says where it looked."""
    nowhere = str(shelf.artifacts / "nowhere" / "nightshelf")
    ended = shelf.run(
        "recommender_train",
        partition=str(shelf.days[3]),
        environment={"NIGHTSHELF_COMMAND": nowhere},
    )
    assert states(ended)["extract"] == "failed"
    what, where, do = own_log()[-1].split("\n")
    assert what.startswith("the jobs environment cannot be started")
    assert where == f"  where: {nowhere}"
    assert "NIGHTSHELF_COMMAND" in do
    # Without the jobs nobody writes a page: the run's tab shows these three lines.
    told = html.unescape(_tab(ended, "report").body.decode())
    assert all(part in told for part in (what, nowhere, do.removeprefix("  do: ")))
    assert shelf.edge.release() == shelf.release


def test_redis_is_away_at_publish(shelf: Shelf, own_log: Callable[[], list[str]]) -> None:
    """With nobody where Redis should be, publishing is tried again and fails; the live release stays."""
    ended = shelf.run(
        "recommender_publish",
        release=shelf.release,
        environment={"NIGHTSHELF_REDIS": "127.0.0.1:1"},
    )
    assert _failed(ended) == {"standing": 4}
    assert_explained(own_log()[0], where="127.0.0.1:1")
    assert shelf.edge.release() == shelf.release


def test_redis_goes_away_before_publish(
    shelf: Shelf, own_log: Callable[[], list[str]], tmp_path: Path
) -> None:
    """Redis that goes away after the first look: `publish` itself is tried again, fails, and says so first."""
    # The release is asked for where Redis answers and published where it does not.
    command = tmp_path / "nightshelf"
    command.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = publish ]; then export NIGHTSHELF_REDIS=127.0.0.1:1; fi\n'
        f'exec "{JOBS / "bin" / "nightshelf"}" "$@"\n',
        encoding="utf-8",
    )
    command.chmod(0o755)
    ended = shelf.run(
        "recommender_publish",
        release=shelf.release,
        environment={"NIGHTSHELF_COMMAND": str(command)},
    )
    assert _failed(ended) == {"publish": 4}
    assert states(ended)["activate"] == "upstream_failed"
    first = next(line for line in own_log() if "\n  where: " in line)
    assert_explained(first, where="127.0.0.1:1")
    assert shelf.edge.release() == shelf.release


def test_a_stopped_model_has_its_page(
    shelf: Shelf, own_log: Callable[[], list[str]], quick_settings: Path, tmp_path: Path
) -> None:
    """A model that must not go live ends the day at `evaluate`; both its pages are written and lead to each other."""
    hopeless = tmp_path / "model.toml"
    text = quick_settings.read_text(encoding="utf-8")
    # Scores beyond what a float holds: lists come out short, which no model may have.
    hopeless.write_text(
        re.sub(r"(?m)^popularity_exponent = \S+", "popularity_exponent = -20.0", text), "utf-8"
    )
    ended = shelf.run(
        "recommender_train",
        partition=str(shelf.days[4]),
        environment={"NIGHTSHELF_MODEL_SETTINGS": str(hopeless)},
    )
    assert _failed(ended) == {"evaluate": 1}
    assert (states(ended)["announce"], states(ended)["report"]) == ("upstream_failed", "success")
    first = next(line for line in own_log() if "\n  where: " in line)
    assert first.startswith("the verdict is stop: ")
    assert_explained(first, where="decision.json")
    release = ended.get_task_instance("extract").xcom_pull(task_ids="extract")["release"]
    assert "must not go live" in shelf.page(release, "model.html")
    assert 'href="model.html"' in shelf.page(release, "report.html")
    assert 'href="report.html"' in shelf.page(release, "model.html")
    index = (shelf.artifacts / "releases" / "index.html").read_text(encoding="utf-8")
    assert f'href="{release}/model.html"' in index
    assert shelf.edge.release() == shelf.release


def _failed(run: Any) -> dict[str, int]:
    """Return how often each failed task was tried."""
    tasks = run.get_task_instances()
    return {task.task_id: task.try_number for task in tasks if str(task.state) == "failed"}


def _problem(run: Any, task: str) -> dict[str, Any]:
    """Return what a failed task hands on to the run's page."""
    found: dict[str, Any] = run.get_task_instance(task).xcom_pull(task_ids=task, key="problem")
    return found


def _tab(run: Any, page: str) -> Any:
    """Return what the tab *Data report* (`report`) or *Model report* of a run asks for, as the plugin answers."""
    path = ROOT / "deploy" / "airflow" / "plugins" / "nightshelf_reports.py"
    return runpy.run_path(str(path))["report_of_run"](page, run.dag_id, run.run_id)


def assert_explained(message: str, where: str) -> None:
    """A message says what, where, and what to do, a line each."""
    what, place, do = message.split("\n")
    assert what
    assert place.startswith("  where: ")
    assert where in place
    assert do.startswith("  do: ")
    assert len(do) > len("  do: ")
