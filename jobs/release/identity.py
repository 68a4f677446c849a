"""The id of a release: a partition and a digest over everything that shapes its lists.

In: input files with digests, settings of the model and of rows as mappings, the versions of the libraries that compute
lists, and `LISTS_VERSION`. Out: `<partition>-<8 hex>`. Guarantees that the same work twice has the same id, and that
nothing of the machine, the clock or the run enters it. The version of this package does not: most versions compute the
same lists.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: The number of the computation. Raise it when the same input gives other rows or other lists: tests/golden fails then,
#: and `python -m tests.golden.record` records the new ones.
LISTS_VERSION = 1
#: implicit fits ALS; lightgbm ranks; numpy and scipy (each with an OpenBLAS of its own) compute EASE, users' vectors
#: and scores; polars parses and orders rows; pyarrow casts what is stored and writes the files, whose bytes a release
#: is known by.
LIBRARIES = ("implicit", "lightgbm", "numpy", "scipy", "polars", "pyarrow")

_DIGEST_CHARACTERS = 8


@dataclass(frozen=True)
class InputFile:
    """A file that went into a release: its path below the drops folder, rows and SHA-256."""

    path: str
    rows: int
    sha256: str


def libraries() -> dict[str, str]:
    """Return the versions of the libraries whose arithmetic and files make a release."""
    return {name: version(name) for name in LIBRARIES}


def release_id(
    partition: str,
    inputs: tuple[InputFile, ...],
    settings: Mapping[str, object],
    row_settings: Mapping[str, object],
) -> str:
    """Return the id of the release made of these inputs with these settings by this computation."""
    content: dict[str, Any] = {
        "inputs": [(file.path, file.sha256) for file in inputs],
        "settings": settings,
        "row_settings": row_settings,
        "libraries": libraries(),
        "lists_version": LISTS_VERSION,
    }
    text = json.dumps(content, sort_keys=True)
    return f"{partition}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]}"


def describe(
    partition: str,
    inputs: tuple[InputFile, ...],
    settings: Mapping[str, object],
    row_settings: Mapping[str, object],
    *,
    time_ordered: bool,
    drops: Path,
) -> dict[str, Any]:
    """Return the content of a release's `inputs.json`; the version of this package in it is for people."""
    return {
        "release": release_id(partition, inputs, settings, row_settings),
        "partition": partition,
        "inputs": [asdict(file) for file in inputs],
        "settings": settings,
        "row_settings": row_settings,
        "software": {"nightshelf": version("nightshelf"), **libraries()},
        "lists_version": LISTS_VERSION,
        "time_ordered": time_ordered,
        "drops": str(drops),
    }
