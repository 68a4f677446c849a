"""A shelf for the tests of the DAGs: a cluster of its own, drops, a live first day, an edge replica.

In: a folder of books, model settings, days. Out: runs of DAGs by Airflow's own `dag.test()`. Guarantees that the
variables of a run are set for that run alone, and that a request for approval is answered by whom the test names.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from schemas.environment import Node, node_list
from tests.conftest import free_ports
from tests.dags import edge_replica
from tests.dags.commands import nightshelf
from tests.dags.edge_replica import EdgeReplica
from tests.dags.places import JOBS, ROOT

#: Called while a run waits for an answer.
Person = Callable[[], None]


@dataclass(frozen=True)
class Shelf:
    """A live first day: artifacts, its release, the days there are drops for, and an edge replica."""

    artifacts: Path
    release: str
    days: list[date]
    edge: EdgeReplica
    environment: dict[str, str] = field(default_factory=dict)

    def run(
        self,
        dag: str,
        *,
        person: Person | None = None,
        environment: Mapping[str, str] | None = None,
        change: Callable[[Any], None] | None = None,
        **params: Any,
    ) -> Any:
        """Carry out one run of a DAG and return it; `change` may alter the DAG before."""
        # Airflow 3.3.2's `dag.test()` breaks off at the end of a DAG with a deadline: it looks the alert up by
        # its definition instead of its id. A real scheduler meets the deadline in test_running_days.py.
        rest = time.sleep

        def wait(_seconds: float) -> None:
            # `dag.test()` rests a second at each step of a failure's way down the DAG: 6 s a bad day.
            if person is not None:
                person()
            rest(0.02)

        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.environment, **(environment or {})}.items():
                patch.setenv(name, value)
            found = self.load(dag)
            found.deadline = None
            if change is not None:
                change(found)
            patch.setattr(time, "sleep", wait)
            return found.test(run_conf=params)

    def load(self, dag: str) -> Any:
        """Read a DAG anew: `dag.test()` leaves the parameters of a run in the object."""
        from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # not installed everywhere

        return DagBag(ROOT / "dags" / f"{dag}.py").dags[dag]

    def drop(self, day: date) -> Path:
        """Return the one file of a day's drop."""
        (file,) = (self.artifacts / "drops" / "ratings" / f"ds={day}").glob("*.parquet")
        return file

    def nightshelf(self, *arguments: str) -> dict[str, Any]:
        """Run a command as a person would and return its outcome."""
        return nightshelf({**os.environ, **self.environment}, *arguments)

    def page(self, release: str, name: str) -> str:
        """Return the text of a page of a release."""
        return (self.artifacts / "releases" / release / name).read_text(encoding="utf-8")


def states(run: Any) -> dict[str, str]:
    """Return the state of each task."""
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def announced(run: Any) -> str:
    """Return the release that a run of `recommender_train` announced."""
    return str(run.get_task_instance("announce").xcom_pull(task_ids="announce")["release"])


@contextmanager
def begun(
    nodes: tuple[Node, ...], books: Path, settings: Path, days: list[date], artifacts: Path
) -> Iterator[Shelf]:
    """Land six days of drops, train the first, publish it, serve it: each by the DAG that does this."""
    addresses = node_list(nodes)
    environment = {
        "NIGHTSHELF_ARTIFACTS": str(artifacts),
        "NIGHTSHELF_REDIS": addresses,
        "NIGHTSHELF_MODEL_SETTINGS": str(settings),
    }
    port = free_ports(1)[0]
    with edge_replica.running(JOBS / "bin" / "nightshelf-edge", addresses, port) as edge:
        empty = Shelf(artifacts, "", days, edge, environment)
        landed = empty.run(
            "recommender_replay",
            source=str(books),
            first_day=str(days[0]),
            last_day=str(days[-1]),
            first_day_share=0.9,
        )
        assert states(landed) == {"land": "success"}
        trained = empty.run("recommender_train", partition=str(days[0]))
        assert set(states(trained).values()) == {"success"}, states(trained)
        release = announced(trained)
        published = empty.run("recommender_publish", release=release)
        # The first release goes live without asking, whatever the verdict.
        assert states(published) == {
            "partition": "success",
            "standing": "success",
            "approve": "skipped",
            "publish": "success",
            "activate": "success",
            "retire": "success",
        }
        edge.wait_for(release)
        yield replace(empty, release=release)
