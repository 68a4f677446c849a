"""The `nightshelf` command as a function: exit code, outcome, what a person reads."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from jobs.cli.main import main


@dataclass(frozen=True)
class Result:
    """How a command ended: `outcome` is the last line of standard output, `text` is standard error."""

    exit_code: int
    outcome: dict[str, Any]
    text: str


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Result:
    """Run one command in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    code = ended.value.code
    assert isinstance(code, int)
    return Result(code, json.loads(shown.out.splitlines()[-1]), shown.err)
