"""Settings that change what a release holds, and therefore its id.

In: a TOML file, by default the one beside this module. Out: a frozen `ModelSettings`. Guarantees that every
setting is known, of the right type and one the model can be computed with, and that nothing outside this class changes
a list.
"""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from jobs.runtime.errors import BrokenInput, WrongUsage

DEFAULTS = Path(__file__).with_name("settings.toml")
#: Sizes, divisors, and what keeps a reader's equations solvable with fewer books than factors.
_POSITIVE = frozenset(
    {
        "factors",
        "iterations",
        "confidence_half_life_share",
        "profile_regularization",
        "profile_half_life_books",
        "popularity_half_life_share",
        "list_length",
        "similar_length",
    }
)


@dataclass(frozen=True)
class ModelSettings:
    """What the model is told; the meaning of each stands in settings.toml."""

    positive_from: int
    factors: int
    iterations: int
    regularization: float
    alpha: float
    neutral_weight: float
    low_weight: float
    confidence_half_life_share: float
    profile_alpha: float
    profile_regularization: float
    profile_half_life_books: float
    popularity_half_life_share: float
    popularity_exponent: float
    popularity_floor: float
    seed: int
    list_length: int
    similar_length: int


def load(path: Path | None) -> ModelSettings:
    """Return the settings in `path`, or the defaults for None.

    Raises BrokenInput when the file cannot be read as TOML, WrongUsage when a setting is missing, unknown,
    of the wrong type, or 0 where the model cannot be computed with 0.
    """
    path = path or DEFAULTS
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenInput(f"model settings: {error}", str(path), "give a TOML file") from error
    return from_mapping(content.get("model", {}), str(path))


def from_mapping(content: dict[str, object], where: str) -> ModelSettings:
    """Return the settings in a mapping of names to values. Raises WrongUsage as `load` does."""
    kinds = {field.name: field.type for field in fields(ModelSettings)}
    if set(content) != set(kinds):
        wrong = ", ".join(sorted(set(content) ^ set(kinds)))
        raise WrongUsage(f"missing or unknown model settings: {wrong}", where, "correct the names")
    for name, value in content.items():
        accepted = (int, float) if kinds[name] is float else (int,)
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise WrongUsage(f"{name} = {value!r} is not a number", where, "correct the value")
        if name in _POSITIVE and not value > 0:
            raise WrongUsage(f"{name} = {value!r} is not above 0", where, "correct the value")
    return ModelSettings(**content)  # type: ignore[arg-type]  # checked above
