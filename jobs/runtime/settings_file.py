"""Settings in a TOML file: one table of names and numbers.

In: a file, the name of its table, the type of each setting. Out: the values. Every setting is there, known, and a
number of its type.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.runtime.errors import BrokenInput, WrongUsage


def read(path: Path, table: str, what: str) -> dict[str, Any]:
    """Return a table of a TOML file, empty if it is not there. Raises BrokenInput when it is no TOML file."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenInput(f"{what}: {error}", str(path), "give a TOML file") from error
    found: dict[str, Any] = content.get(table, {})
    return found


def check(content: Mapping[str, object], kinds: Mapping[str, Any], what: str, where: str) -> None:
    """Raise WrongUsage when a setting is missing, unknown, or not a number of its type (int or float)."""
    if set(content) != set(kinds):
        wrong = ", ".join(sorted(set(content) ^ set(kinds)))
        raise WrongUsage(f"missing or unknown {what}: {wrong}", where, "correct the names")
    for name, value in content.items():
        accepted = (int, float) if kinds[name] is float else (int,)
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise WrongUsage(f"{name} = {value!r} is not a number", where, "correct the value")
