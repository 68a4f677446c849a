"""Spans of commands and steps, where NIGHTSHELF_TRACES asks for them.

In: a command line, a step's name. Out: a span for each, the step's inside the command's. Guarantees that a trace which
the caller began goes on (`TRACEPARENT` in the environment), and that without the setting nothing is imported.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr
from typing import Any, TextIO, cast

from jobs.runtime.command_status import command_of
from jobs.runtime.errors import WrongUsage
from schemas import tracing
from schemas.environment import EnvironmentProblem
from schemas.tracing import Tracing

#: The tracing of the command in hand.
_current: list[Tracing] = []


class _Lines:
    """Standard error with the ids of trace and run before each line, once there is a trace."""

    def __init__(self, out: TextIO) -> None:
        self.ids = ""
        self._out = out
        self._begun = False

    def write(self, text: str) -> int:
        if not text:
            # Click asks by an empty bytes object whether bytes may be written: the stream itself says no.
            return self._out.write(text)
        for line in text.splitlines(keepends=True):
            if self.ids and not self._begun:
                self._out.write(self.ids)
            self._out.write(line)
            self._begun = not line.endswith("\n")
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


@contextmanager
def named_lines() -> Iterator[None]:
    """Put the ids of trace and run before each line on standard error of a traced command; a terminal stays plain."""
    if sys.stderr.isatty():
        yield
        return
    with redirect_stderr(cast("TextIO", _Lines(sys.stderr))):
        yield


@contextmanager
def traced(arguments: Sequence[str]) -> Iterator[None]:
    """Trace a command. Raises WrongUsage when traces are asked for and cannot be made."""
    try:
        found = tracing.from_environment("nightshelf-batch", os.environ)
    except EnvironmentProblem as problem:
        raise WrongUsage(
            str(problem), "environment", "install it, or unset the variable"
        ) from problem
    if found is None:
        yield
        return
    _current.append(found)
    name = command_of(arguments) or "nightshelf"
    carrier = {"traceparent": os.environ.get("TRACEPARENT", "")}
    try:
        with found.span(f"nightshelf {name}", carrier):
            if isinstance(sys.stderr, _Lines):
                # A command answers no request: what it belongs to is a run.
                run = "_".join(os.environ.get("NIGHTSHELF_RUN_BY", "").split())
                sys.stderr.ids = f"trace={found.trace_id()} " + (f"run={run} " if run else "")
            yield
    finally:
        _current.pop()
        found.close()


def span(name: str, **attributes: Any) -> AbstractContextManager[Any]:
    """Return a span of the command in hand, nothing where it is not traced."""
    return _current[-1].span(name, **attributes) if _current else nullcontext()
