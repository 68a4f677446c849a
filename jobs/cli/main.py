"""The `nightshelf` command: reads arguments, calls one step, prints one line of JSON.

In: arguments and the environment. Out: progress and logs on standard error, the outcome as the last line of
standard output, an exit code of `jobs.runtime.errors`. Guarantees that a failure a person can act on is
printed without a traceback, and that a command loads only what it needs.
"""

import importlib
import json
import sys
from dataclasses import asdict, is_dataclass
from typing import Any, NoReturn

import click

from jobs.runtime import command_status, spans, system
from jobs.runtime import settings as runtime_settings
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import NightshelfError, WrongUsage
from jobs.runtime.settings import Settings

#: Where each command stands. Great Expectations alone takes 3 s to import, so none is loaded unasked.
_COMMANDS = {
    "fetch": "jobs.cli.data",
    "replay": "jobs.cli.data",
    "synthesize": "jobs.cli.data",
    "drop": "jobs.cli.data",
    "extract": "jobs.cli.data",
    "validate": "jobs.cli.validation",
    "report": "jobs.cli.validation",
    "train": "jobs.cli.model",
    "evaluate": "jobs.cli.evaluation",
    "model-report": "jobs.cli.evaluation",
    "backtest": "jobs.cli.evaluation",
    "tune": "jobs.cli.evaluation",
    "recommend": "jobs.cli.model",
    "publish": "jobs.cli.releases",
    "activate": "jobs.cli.releases",
    "rollback": "jobs.cli.releases",
    "retire": "jobs.cli.releases",
    "restore": "jobs.cli.store",
    "reconcile": "jobs.cli.store",
    "releases": "jobs.cli.releases",
    "why": "jobs.cli.store",
    "canary": "jobs.cli.releases",
    "audit": "jobs.cli.store",
    "check-store": "jobs.cli.store",
    "run": "jobs.cli.chain",
    "metrics": "jobs.cli.metrics",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(
            importlib.import_module(module), cmd_name.replace("-", "_")
        )
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="nightshelf")
def nightshelf() -> None:
    """Compute book recommendations, evaluate them, and publish them to Redis.

    The last line of standard output is one JSON object. Exit codes: 0 done, 1 try again later, 2 wrong usage,
    3 a gate refused, 4 the input is missing or broken, 99 nothing to do.
    """


def here() -> tuple[Settings, Artifacts]:
    """Return the settings of the environment and the artifacts that they name. Raises WrongUsage."""
    settings = runtime_settings.from_environment()
    return settings, Artifacts(settings.artifacts)


def emit(outcome: Any) -> None:
    """Print a step's outcome, a dataclass or a mapping, as one line of JSON."""
    content = (
        asdict(outcome) if is_dataclass(outcome) and not isinstance(outcome, type) else outcome
    )
    print(json.dumps(content, sort_keys=True, default=str), flush=True)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command, keep that it was attempted, and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    with spans.named_lines(), command_status.kept(given):
        _carry_out(given)
    raise AssertionError("unreachable: the command has exited")


def _carry_out(arguments: list[str]) -> NoReturn:
    try:
        with spans.traced(arguments):
            nightshelf.main(args=arguments, prog_name="nightshelf", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        _fail(WrongUsage(error.format_message(), "command line", "see `nightshelf --help`"))
    except NightshelfError as error:
        _report(error)
    except OSError as error:
        _report(system.as_problem(error))
    sys.exit(0)


def _report(error: NightshelfError) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    _fail(error)


def _fail(error: NightshelfError) -> NoReturn:
    problem = {
        "error": error.what,
        "where": error.where,
        "do": error.do,
        "exit_code": error.exit_code,
    }
    emit(problem if error.report is None else {**problem, "report": error.report})
    sys.exit(error.exit_code)
