"""Reading the JSON documents that steps write.

In: a path, what must be in it, and what to do if it is not. Out: the content. Guarantees that a file which is missing,
cut, empty, of another shape, or a folder ends in a BrokenInput that names it and says how it comes to be again.
"""

import json
from pathlib import Path
from typing import Any

from jobs.runtime.artifacts import require
from jobs.runtime.errors import BrokenInput


def read_document(path: Path, step: str, **fields: type) -> dict[str, Any]:
    """Return the JSON object that `step` wrote to a file; `fields` must be in it, each of its type.

    Raises BrokenInput.
    """
    try:
        content: Any = json.loads(require(path, step).read_bytes())
    except ValueError as error:
        why = f"it is no JSON: {error}" if path.stat().st_size else "it is empty"
        raise broken(path, step, why) from error
    if not isinstance(content, dict):
        raise broken(path, step, f"it holds {type(content).__name__}, not an object")
    for name, kind in fields.items():
        if not isinstance(content.get(name), kind):
            raise broken(path, step, f"{name!r} is missing or no {kind.__name__}")
    return content


def broken(path: Path, step: str, why: str) -> BrokenInput:
    """Return the error about a file of `step` that cannot be used."""
    return BrokenInput(
        f"{path.name} cannot be read: {why}",
        str(path),
        f"bring it back from a backup, or remove it, {_again(path, step)}",
    )


def _again(path: Path, step: str) -> str:
    if step == "extract":
        folder = path.parent.parent if path.parent.name == "records" else path.parent
        return f"with the whole folder {folder}, and run the day again from `nightshelf extract`"
    return f"and run `nightshelf {step}` again"
