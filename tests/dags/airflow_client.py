"""Airflow's REST API as the tests use it: tokens, runs, tasks, logs, and waiting with a deadline.

In: the address and password of a running Airflow. Out: plain JSON. Guarantees that waiting ends in an AssertionError
that tells the state of every task.
"""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

#: A run takes a minute; where ten programs share a core it took nine, and three take turns.
_DEADLINE_S = 1800.0
#: One answer takes a second; where ten programs share a core it took more than a minute.
_ANSWER_S = 300.0
_THINKING = timedelta(seconds=12)


@dataclass
class AirflowClient:
    """A session of user admin."""

    url: str
    password: str
    approved: list[str] = field(default_factory=list)
    _token: str = ""

    def call(
        self, method: str, path: str, body: Any = None, *, token: bool = True
    ) -> tuple[int, Any]:
        """Return status and content (JSON decoded) of one request."""
        if token and not self._token:
            login = {"username": "admin", "password": self.password}
            self._token = self.call("POST", "/auth/token", login, token=False)[1]["access_token"]
        headers = {"Authorization": f"Bearer {self._token}"} if token else {}
        request = urllib.request.Request(  # noqa: S310  # our own loopback URL
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={**headers, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:  # noqa: S310  # the same
                return answer.status, _content(answer.read(), answer.headers["Content-Type"])
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _content(error.read(), error.headers["Content-Type"])

    def get(self, path: str) -> Any:
        """Return the content at `path` below /api/v2."""
        status, content = self.call("GET", f"/api/v2{path}")
        assert status == 200, content
        return content

    def trigger(self, dag: str, conf: dict[str, Any], partition: str | None = None) -> str:
        """Start a run and return its id."""
        body = {"logical_date": None, "conf": conf, "partition_key": partition}
        status, content = self.call("POST", f"/api/v2/dags/{dag}/dagRuns", body)
        assert status == 200, content
        return str(content["dag_run_id"])

    def unpause(self, dag: str) -> None:
        """Let the scheduler start runs of `dag`."""
        assert self.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})[0] == 200

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """Return all runs of `dag` in the order in which they were made."""
        found: list[dict[str, Any]] = self.get(f"/dags/{dag}/dagRuns?order_by=id&limit=100")[
            "dag_runs"
        ]
        return found

    def tasks(self, dag: str, run: str) -> dict[str, str]:
        """Return the state of each task of a run."""
        found = self.get(f"/dags/{dag}/dagRuns/{quote(run)}/taskInstances")["task_instances"]
        return {task["task_id"]: str(task["state"]) for task in found}

    def xcom(self, dag: str, run: str, task: str, key: str = "return_value") -> Any:
        """Return what a task handed on."""
        path = f"/dags/{dag}/dagRuns/{quote(run)}/taskInstances/{task}/xcomEntries/{key}"
        return self.get(path)["value"]

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> list[str]:
        """Return a task's own log lines: what Airflow says in its folded groups is left out."""
        path = f"/dags/{dag}/dagRuns/{quote(run)}/taskInstances/{task}/logs/{attempt}"
        lines, folded = [], False
        for line in self.get(f"{path}?full_content=true")["content"]:
            text = str(line["event"])
            folded = folded or text.startswith("::group::")
            if not folded:
                lines.append(text)
            folded = folded and text != "::endgroup::"
        return lines

    def failures(self, dag: str, run: str) -> dict[str, Any]:
        """Return the logs of a run's failed tasks, and the states of all."""
        states = self.tasks(dag, run)
        failed = [task for task, state in states.items() if state == "failed"]
        return {"states": states, **{task: self.log(dag, run, task) for task in failed}}

    def wait(self, dag: str, run: str, deadline_s: float = _DEADLINE_S) -> str:
        """Wait until a run has ended, saying yes to every request on the way; return its state."""
        ended = {"success", "failed"}
        until(
            lambda: self._state(dag, run) in ended,
            lambda: f"{run}: {self.tasks(dag, run)}",
            deadline_s,
        )
        return self._state(dag, run)

    def _state(self, dag: str, run: str) -> str:
        self.approve_all()
        return str(self.get(f"/dags/{dag}/dagRuns/{quote(run)}")["state"])

    @contextmanager
    def saying_yes(self) -> Iterator[Callable[[], None]]:
        """Say yes to every request beside what the block does; gives what ends it, and tells of a failure."""
        ended = threading.Event()

        def answer() -> None:
            while not ended.wait(2.0):
                self.approve_all()

        with ThreadPoolExecutor(max_workers=1) as pool:
            answering = pool.submit(answer)

            def stop() -> None:
                ended.set()
                answering.result()

            try:
                yield stop
            finally:
                ended.set()

    def approve_all(self) -> None:
        """Say yes to every release on hold, as a person does: not within the second in which it asks."""
        for asked in self.get("/dags/~/dagRuns/~/hitlDetails?response_received=false")[
            "hitl_details"
        ]:
            task = asked["task_instance"]
            age = datetime.now(UTC) - datetime.fromisoformat(asked["created_at"])
            if age < _THINKING or task["state"] != "awaiting_input":
                continue
            path = (
                f"/api/v2/dags/{task['dag_id']}/dagRuns/{quote(task['dag_run_id'])}"
                f"/taskInstances/{task['task_id']}/-1/hitlDetails"
            )
            answer = {"chosen_options": ["Approve"], "params_input": {"reason": "a test says yes"}}
            assert self.call("PATCH", path, answer)[0] == 200
            self.approved.append(str(asked["subject"]))


def until(
    condition: Callable[[], bool], told: Callable[[], Any], deadline_s: float = _DEADLINE_S
) -> None:
    """Wait until `condition` holds; `told` says at the deadline how things stand."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, told()
        time.sleep(0.5)


def _content(raw: bytes, kind: str | None) -> Any:
    return json.loads(raw) if raw and "json" in (kind or "") else raw.decode(errors="replace")
