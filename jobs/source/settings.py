"""Settings that change which rows a release has, or what stands in them; they enter its id.

In: the environment. Out: a frozen `RowSettings`. Guarantees that a setting which has its default leaves the id of a
release as it is, and that every other value is in it.
"""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class RowSettings:
    """What changes accepted rows; read by `jobs.runtime.settings.read_settings`, see the table in jobs/README.md.

    A field is named like its variable without NIGHTSHELF_. Bounds that only stop a run do not belong here.
    """


DEFAULTS = RowSettings()


def as_mapping(settings: RowSettings) -> dict[str, Any]:
    """Return the settings that differ from their defaults, by name, as JSON holds them."""
    given = (
        (field.name, getattr(settings, field.name), field.default) for field in fields(settings)
    )
    return {name: value for name, value, default in given if value != default}
