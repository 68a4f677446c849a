"""Runs the `nightshelf` command of the jobs environment as a process, for every task of these DAGs.

In: arguments of one command. Out: the JSON object on the command's last line of standard output, which becomes the
task's XCom (ids, paths and counts only). Guarantees one effect per exit code: 0 success; 99 skipped; 2, 3 and 4
failed at once, since the same input gives the same answer; anything else failed with retries. A failed command's
log begins with what went wrong, where, and what to do, however long it took; the same is the task's XCom `problem`.
What the command says is logged when it has ended; until then its last message is the task's XCom `progress`.
"""

import hashlib
import json
import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from airflow.sdk import BaseOperator, Variable, get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

_log = logging.getLogger(__name__)
DEFAULT_COMMAND = Path(__file__).resolve().parents[1] / ".venvs" / "local" / "bin" / "nightshelf"
NOTHING_TO_DO = 99
#: The XCom of a task that did not succeed: a Problem.
PROBLEM = "problem"
#: Wrong usage, a quality gate's no, broken input: a retry gives the same answer.
_FINAL = frozenset({2, 3, 4})
#: The XCom of a task whose command takes long: what it said last. A log cannot begin with a reason that comes later,
#: so messages wait for the command's end.
PROGRESS = "progress"
_PROGRESS_S = 20.0


class CommandFailed(AirflowException):
    """The command failed in a way that a retry may repair (Redis, the disk, another publisher)."""


class NothingYet(AirflowException):
    """A command that only reads found nothing to do (exit code 99); `problem` says why."""

    def __init__(self, problem: "Problem") -> None:
        """Keep the problem."""
        super().__init__(problem.what)
        self.problem = problem


@dataclass(frozen=True)
class Problem:
    """Why a command did not succeed; `report` is the path of a page about it, if there is one."""

    what: str
    where: str
    do: str
    report: str | None = None

    def __str__(self) -> str:
        return f"{self.what}\n  where: {self.where}\n  do: {self.do}"


def tell(problem: Problem) -> None:
    """Begin the task's log with the problem, and hand it on to the run's page."""
    _log.error("%s", problem)
    _hand_on(problem)


def _hand_on(problem: Problem) -> None:
    # Read by deploy/airflow/plugins: what the tab `Data report` shows of a run without a release.
    get_current_context()["ti"].xcom_push(PROBLEM, asdict(problem))


def refuse(problem: Problem) -> NoReturn:
    """Fail the task without a retry; see `tell`."""
    tell(problem)
    raise AirflowFailException(problem.what)


def skip(reason: str) -> NoReturn:
    """Skip the task, with the reason as the first line of its log."""
    _log.info("skipped: %s", reason)
    raise AirflowSkipException(reason)


def command() -> str:
    """Return the path of `nightshelf`: Airflow variable, else environment, else the local environment's."""
    configured = Variable.get("nightshelf_command", default=None)
    return str(configured or os.environ.get("NIGHTSHELF_COMMAND") or DEFAULT_COMMAND)


def environment(run_by: str) -> dict[str, str]:
    """Return the command's environment: this process's own without what belongs to Airflow (its secrets too)."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "_AIRFLOW", "PYTHON"))
    }
    if own.get("NIGHTSHELF_TRACES") and "/" in run_by:
        # All commands of a DAG's run are one trace, whichever task and try they belong to.
        digest = hashlib.sha256(run_by.encode()).hexdigest()
        own.setdefault("TRACEPARENT", f"00-{digest[:32]}-{digest[32:48]}-01")
    return {**own, "NIGHTSHELF_RUN_BY": run_by}


class NightshelfOperator(BaseOperator):
    """One `nightshelf` command.

    `arguments` are the command's name and arguments; of `options` (flag to value) those with an empty value are
    left out, and so are empty arguments. A non-empty `skip_reason` skips the task with that reason instead of
    running anything. All three are templates.
    """

    template_fields: Sequence[str] = ("arguments", "options", "skip_reason")
    ui_color = "#e8f0ea"

    def __init__(
        self,
        *,
        arguments: Sequence[str],
        options: Mapping[str, str] | None = None,
        skip_reason: str = "",
        **kwargs: Any,
    ) -> None:
        """Keep what to run; see the class."""
        super().__init__(**kwargs)
        self.arguments = list(arguments)
        self.options = dict(options or {})
        self.skip_reason = skip_reason
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> Any:
        """Run the command and return its JSON. Raises what the exit code means, see the module."""
        if self.skip_reason:
            skip(self.skip_reason)
        optional = [part for pair in self.options.items() if pair[1] for part in pair]
        run_by = f"{context['dag'].dag_id}/{context['run_id']}"
        given = [argument for argument in self.arguments if argument]
        return self._run([*given, *optional], run_by)

    def on_kill(self) -> None:
        """End the command and what it started when the task is stopped from Airflow."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)

    def _run(self, arguments: list[str], run_by: str) -> Any:
        program = command()
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            try:
                process = subprocess.Popen(
                    [program, *arguments],
                    env=environment(run_by),
                    stdout=output,
                    stderr=subprocess.PIPE,
                    stdin=subprocess.DEVNULL,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                refuse(_missing(program, error))
            self._process = process
            said: list[str] = []
            try:
                with process:
                    self._follow(process, said)
                    code = process.wait()
            except BaseException:
                self._tell(said)
                raise
            output.seek(0)
            last = _last_line(output.read())
        if code != 0:
            self._refuse(code, arguments, last, said)
        self._tell(said)
        return json.loads(last)

    def _follow(self, process: "subprocess.Popen[str]", said: list[str]) -> None:
        """Collect the command's messages in `said`; show the last one now and then."""
        assert process.stderr is not None  # noqa: S101  # opened as a pipe above
        shown = time.monotonic()
        for line in process.stderr:
            said.append(line.rstrip())
            if time.monotonic() - shown > _PROGRESS_S:
                shown = time.monotonic()
                get_current_context()["ti"].xcom_push(PROGRESS, said[-1])

    def _tell(self, lines: list[str]) -> None:
        for line in lines:
            _log.info("%s", line)

    def _refuse(self, code: int, arguments: list[str], last: str, said: list[str]) -> None:
        problem = _told(code, arguments, last)
        if code == NOTHING_TO_DO:
            _hand_on(problem)
            skip(str(problem))
        tell(problem)
        if f"error: {problem.what}" in said:
            said = said[: said.index(f"error: {problem.what}")]
        self._tell(["What `nightshelf` said until then:", *said] if said else [])
        message = f"`nightshelf {arguments[0]}` ended with exit code {code}: {problem.what}"
        if code in _FINAL:
            raise AirflowFailException(message)
        raise CommandFailed(message)


def answer(arguments: Sequence[str]) -> dict[str, Any]:
    """Run a short command that only reads and return its JSON.

    Raises NothingYet when there is nothing to do, AirflowFailException when the jobs environment is missing or a
    retry would give the same answer, CommandFailed when a retry may help.
    """
    program = command()
    try:
        process = subprocess.run(
            [program, *arguments],
            env=environment("airflow"),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        refuse(_missing(program, error))
    last = _last_line(process.stdout)
    if process.returncode != 0:
        problem = _told(process.returncode, list(arguments), last)
        if process.returncode == NOTHING_TO_DO:
            raise NothingYet(problem)
        if process.returncode in _FINAL:
            refuse(problem)
        tell(problem)
        _log.info("What `nightshelf` said:\n%s", process.stderr)
        raise CommandFailed(problem.what)
    content: dict[str, Any] = json.loads(last)
    return content


def _last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1] if lines else ""


def _missing(program: str, error: OSError) -> Problem:
    return Problem(
        f"the jobs environment cannot be started ({error.strerror})",
        program,
        "create it (`make .venvs/local/.complete`), or name another `nightshelf` in NIGHTSHELF_COMMAND or in the "
        "Airflow variable nightshelf_command; then clear this task",
    )


def _told(code: int, arguments: list[str], last: str) -> Problem:
    """Return the three parts that the command printed, or for a crash the command and its exit code."""
    try:
        told = json.loads(last)
        return Problem(told["error"], told["where"], told["do"], told.get("report"))
    except (ValueError, KeyError, TypeError):
        return Problem(
            f"`nightshelf {arguments[0]}` crashed with exit code {code}",
            "its messages below",
            "read the traceback below; this is a defect if it comes again on a retry",
        )
