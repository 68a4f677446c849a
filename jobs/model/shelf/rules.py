"""Which shelf rules hold, and how strictly.

In: the table `rules` of a TOML file. Out: a frozen `ShelfRules`; every rule is there, known, and of its type.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from jobs.runtime import settings_file
from jobs.runtime.errors import WrongUsage

SHIPPED = Path(__file__).with_name("rules.toml")


@dataclass(frozen=True)
class ShelfRules:
    """Which rules hold; the meaning of each stands in rules.toml. A cap of 0 is none."""

    volumes_in_order: bool
    first_volume_first: bool
    most_of_an_author: int
    most_of_a_series: int
    no_box_set_of_a_begun_series: bool
    no_second_edition: bool


def read(path: Path | None) -> dict[str, Any]:
    """Return the rules in a file, None for the shipped one. Raises BrokenInput when it is no TOML file."""
    return settings_file.read(path or SHIPPED, "rules", "shelf rules")


def from_mapping(content: Mapping[str, object], where: str) -> ShelfRules:
    """Return the rules in a mapping of names to values. Raises WrongUsage for one that cannot be used."""
    kinds = {field.name: field.type for field in fields(ShelfRules)}
    if set(content) != set(kinds):
        wrong = ", ".join(sorted(set(content) ^ set(kinds)))
        known = ", ".join(kinds)
        raise WrongUsage(f"missing or unknown shelf rules: {wrong}", where, f"give each of {known}")
    for name, value in content.items():
        if type(value) is not kinds[name] or (kinds[name] is int and value < 0):  # type: ignore[operator]
            wanted = "true or false" if kinds[name] is bool else "a whole number from 0 on"
            raise WrongUsage(f"{name} = {value!r} is not {wanted}", where, "correct the value")
    return ShelfRules(**content)  # type: ignore[arg-type]  # checked above
