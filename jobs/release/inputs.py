"""What a release was begun with, as extract wrote it down.

In: a release folder. Out: its settings and whether its rows tell time. Guarantees that every step of a release
works with the settings that are in the release's id.
"""

import json
from typing import Any

from jobs.model.settings import ModelSettings, from_mapping
from jobs.release.folder import ReleaseFolder, require


def read(folder: ReleaseFolder) -> dict[str, Any]:
    """Return the content of inputs.json. Raises BrokenInput when extract has not finished."""
    content: dict[str, Any] = json.loads(require(folder.inputs, "extract").read_text("utf-8"))
    return content


def settings(folder: ReleaseFolder) -> ModelSettings:
    """Return the settings of a release. Raises BrokenInput when extract has not finished."""
    return from_mapping(read(folder)["settings"], str(folder.inputs))
