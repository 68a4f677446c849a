"""What measurements share: a line a figure, printed, and kept where NIGHTSHELF_BENCH_OUT says."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

Report = Callable[..., None]


@pytest.fixture
def report() -> Report:
    """Return a function that prints a figure with its goal and appends it to NIGHTSHELF_BENCH_OUT."""

    def do(name: str, value: float, unit: str, goal: str = "") -> None:
        print(f"\nBENCH {name:60} {value:10.3f} {unit:16} {goal}", flush=True)
        out = os.environ.get("NIGHTSHELF_BENCH_OUT")
        if out:
            line = {"name": name, "value": value, "unit": unit, "goal": goal}
            with Path(out).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    return do
