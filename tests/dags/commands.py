"""The project's command as a person runs it."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from tests.dags.places import JOBS


def nightshelf(environment: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    """Run a command of the jobs to its good end and return its outcome."""
    process = subprocess.run(
        [str(JOBS / "bin" / "nightshelf"), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    outcome: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return outcome
