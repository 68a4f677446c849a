"""What measurements share: a line a figure, printed, and kept where NIGHTSHELF_BENCH_OUT says. A missed goal fails."""

import json
import operator
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Report = Callable[..., None]

_BOUNDS = {"<=": operator.le, ">=": operator.ge}


@pytest.fixture
def report() -> Iterator[Report]:
    """A function that prints a figure with its goal (`<= N`, `>= N` or none) and appends it to NIGHTSHELF_BENCH_OUT.

    The test fails at its end, after all its figures, when one of them missed its goal.
    """
    missed: list[str] = []

    def do(name: str, value: float, unit: str, goal: str = "") -> None:
        line = f"{name:60} {value:10.3f} {unit:16} {goal}"
        print(f"\nBENCH {line}", flush=True)
        if goal:
            bound, number = goal.split()
            if not _BOUNDS[bound](value, float(number)):
                missed.append(line)
        out = os.environ.get("NIGHTSHELF_BENCH_OUT")
        if out:
            kept = {"name": name, "value": value, "unit": unit, "goal": goal}
            with Path(out).open("a", encoding="utf-8") as file:
                file.write(json.dumps(kept) + "\n")

    yield do
    assert not missed, "\n".join(["goals were missed:", *missed])
