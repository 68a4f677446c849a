"""The id of a release: a partition and a digest over everything that shapes its lists.

In: input files with digests, model settings, the package's version. Out: `<partition>-<8 hex>`. Guarantees
that the same work twice has the same id, and that nothing of the machine, the clock or the run enters it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs.model.settings import ModelSettings, as_mapping

_DIGEST_CHARACTERS = 8


@dataclass(frozen=True)
class InputFile:
    """A file that went into a release: its path below the drops folder, rows and SHA-256."""

    path: str
    rows: int
    sha256: str


def software() -> dict[str, str]:
    """Return the versions of the packages whose arithmetic shapes a release."""
    return {
        name: version(name)
        for name in ("nightshelf", "implicit", "numpy", "scipy", "polars", "pyarrow")
    }


def release_id(partition: str, inputs: tuple[InputFile, ...], settings: ModelSettings) -> str:
    """Return the id of the release made of these inputs with these settings by this package version."""
    content: dict[str, Any] = {
        "inputs": [(file.path, file.sha256) for file in inputs],
        "settings": as_mapping(settings),
        "version": version("nightshelf"),
    }
    text = json.dumps(content, sort_keys=True)
    return f"{partition}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]}"


def describe(
    partition: str,
    inputs: tuple[InputFile, ...],
    settings: ModelSettings,
    *,
    time_ordered: bool,
    drops: Path,
) -> dict[str, Any]:
    """Return the content of a release's `inputs.json`."""
    return {
        "release": release_id(partition, inputs, settings),
        "partition": partition,
        "inputs": [asdict(file) for file in inputs],
        "settings": as_mapping(settings),
        "software": software(),
        "time_ordered": time_ordered,
        "drops": str(drops),
    }
