"""The validation of a release, as evaluate wrote it down.

In: a release folder. Out: the content of decision.json and evaluation.json. Guarantees that a verdict is one that the
gates know: a file that says anything else is refused, not passed.
"""

from typing import Any

from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.documents import broken, read_document

GO, HOLD, STOP = "go", "hold", "stop"


def read(folder: ReleaseFolder) -> dict[str, Any]:
    """Return the decision on a release. Raises BrokenInput when evaluate has not finished or the file is damaged."""
    found = read_document(folder.decision, "evaluate", release=str, verdict=str, reasons=list)
    if found["verdict"] not in {GO, HOLD, STOP}:
        raise broken(folder.decision, "evaluate", f"there is no verdict {found['verdict']!r}")
    if not all(
        isinstance(one, dict) and isinstance(one.get("text"), str) for one in found["reasons"]
    ):
        raise broken(folder.decision, "evaluate", "a reason has no text")
    if found["release"] != folder.release:
        raise broken(folder.decision, "evaluate", f"it is about release {found['release']}")
    return found


def metrics(folder: ReleaseFolder) -> dict[str, Any]:
    """Return the metrics of a release by model. Raises BrokenInput as `read` does."""
    found: dict[str, Any] = read_document(folder.evaluation, "evaluate", metrics=dict)["metrics"]
    return found


def as_text(found: dict[str, Any]) -> str:
    """Return the reasons of a decision in one line."""
    return "; ".join(one["text"] for one in found["reasons"])
