"""Record the golden lists of this code beside its LISTS_VERSION.

In: the kinds of tests/golden/kinds.py. Out: `<kind>.json` beside this file. Other lists under a number that is recorded
already are refused: raise the number first. `--same-number` records them all the same, for a number that no version has
been published with, and for another version of a library (the release id holds both).

    python -m tests.golden.record [--same-number]
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from jobs.release.identity import LISTS_VERSION, libraries
from tests.golden.comparing import differences
from tests.golden.kinds import KINDS, computed

_FOLDER = Path(__file__).parent


def path_of(kind: str) -> Path:
    """Return where the lists of a kind are recorded."""
    return _FOLDER / f"{kind}.json"


def read(kind: str) -> dict[str, Any]:
    """Return what is recorded of a kind, {} where nothing is."""
    path = path_of(kind)
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def main() -> None:
    """Compute every kind and record it."""
    same_number = sys.argv[1:] == ["--same-number"]
    for kind in KINDS:
        with tempfile.TemporaryDirectory(prefix="golden-") as name:
            lists = computed(kind, Path(name))
        earlier = read(kind)
        if earlier.get("lists_version") == LISTS_VERSION and not same_number:
            changed = differences(earlier["lists"], lists)
            if changed:
                sys.exit(
                    f"{kind}: other lists under LISTS_VERSION {LISTS_VERSION}: {changed[0]}; raise it in "
                    "jobs/release/identity.py first"
                )
        content = {"lists_version": LISTS_VERSION, "libraries": libraries(), "lists": lists}
        path_of(kind).write_text(json.dumps(content, indent=0, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
