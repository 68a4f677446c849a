"""Settings of the judgement: slices, intervals, margins.

In: a TOML file, by default the one beside this module. Out: a frozen `JudgementSettings`. Guarantees that
every setting is known and of the right type. They change no list and are no part of a release id.
"""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from jobs.runtime.errors import BrokenInput, WrongUsage

DEFAULTS = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True)
class JudgementSettings:
    """How a release is judged; the meaning of each stands in settings.toml."""

    slices: int
    slice_share: float
    samples: int
    confidence: float
    seed: int
    min_users: int
    popularity_half_life_share: float
    reference_margin: float
    coverage_fall: float
    coverage_collapse: float
    reference_overlap: float
    candidate_overlap: float
    head_share: float


def load(path: Path | None = None) -> JudgementSettings:
    """Return the settings in `path`, or the defaults for None.

    Raises BrokenInput when the file cannot be read as TOML, WrongUsage when a setting is missing, unknown
    or not a number of its kind.
    """
    path = path or DEFAULTS
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8")).get("judgement", {})
    except (OSError, ValueError) as error:
        raise BrokenInput(f"judgement settings: {error}", str(path), "give a TOML file") from error
    kinds = {field.name: field.type for field in fields(JudgementSettings)}
    if set(content) != set(kinds):
        wrong = ", ".join(sorted(set(content) ^ set(kinds)))
        raise WrongUsage(
            f"missing or unknown judgement settings: {wrong}", str(path), "correct the names"
        )
    for name, value in content.items():
        accepted = (int, float) if kinds[name] is float else (int,)
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise WrongUsage(f"{name} = {value!r} is not a number", str(path), "correct the value")
    return JudgementSettings(**content)
