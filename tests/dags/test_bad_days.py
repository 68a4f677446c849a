"""Bad days: what they do to a run, what its log says first, and that the live release stays.

The shelf of test_chain.py.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dags.places import JOBS
from tests.dags.shelf import Shelf, states

#: Programs that spoil a drop, run by the jobs environment: they read parquet, the tests' own does not.
_SPOIL = {
    "a tenth of the rows is broken": """
import sys, polars as pl
drop = pl.read_parquet(sys.argv[1]).with_row_index("i")
tenth = pl.when(pl.col("i") % 10 == 0).then(pl.lit(11)).otherwise(pl.col("rating")).alias("rating")
drop.with_columns(tenth).drop("i").write_parquet(sys.argv[1])
""",
    "the drop is empty": """
import sys, polars as pl
pl.read_parquet(sys.argv[1]).clear().write_parquet(sys.argv[1])
""",
    "a column has another name": """
import sys, polars as pl
pl.read_parquet(sys.argv[1]).rename({"rating": "stars"}).write_parquet(sys.argv[1])
""",
}


#: What the log then names first: a part of where it lies, and of what is wrong.
_TOLD = {
    "a tenth of the rows is broken": ("rejected", " are bad ("),
    "the drop is empty": ("drops/ratings/ds=", "empty"),
    "a column has another name": ("drops/ratings/ds=", "rating"),
}


@pytest.mark.parametrize("what", _SPOIL)
def test_a_bad_drop(shelf: Shelf, own_log: Callable[[], list[str]], what: str) -> None:
    """A bad drop fails the day at once, reason first; nothing is announced and the live release stays."""
    where, words = _TOLD[what]
    drop = shelf.drop(shelf.days[3])
    kept = shutil.copy(drop, shelf.artifacts / "kept.parquet")
    try:
        subprocess.run([str(JOBS / "bin" / "python"), "-c", _SPOIL[what], str(drop)], check=True)
        ended = shelf.run("recommender_train", partition=str(shelf.days[3]))
    finally:
        shutil.move(kept, drop)
    assert _failed(ended) == {"extract": 1}
    assert states(ended)["announce"] == "upstream_failed"
    first = next(line for line in own_log() if "\n  where: " in line)
    assert words in first.split("\n")[0]
    assert_explained(first, where)
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


def assert_explained(message: str, where: str) -> None:
    """A message says what, where, and what to do, a line each."""
    what, place, do = message.split("\n")
    assert what
    assert place.startswith("  where: ")
    assert where in place
    assert do.startswith("  do: ")
    assert len(do) > len("  do: ")
