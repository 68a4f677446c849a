"""Settings of the evaluation: slices, intervals, margins.

In: a TOML file, by default the one beside this module. Out: a frozen `JudgementSettings`. Guarantees that
every setting is known and of the right type. They change no list and are no part of a release id.
"""

from dataclasses import dataclass, fields
from pathlib import Path

from jobs.runtime import settings_file

DEFAULTS = Path(__file__).with_name("settings.toml")


@dataclass(frozen=True)
class EvaluationSettings:
    """How a release is evaluated; the meaning of each stands in settings.toml."""

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


def load(path: Path | None = None) -> EvaluationSettings:
    """Return the settings in `path`, or the defaults for None.

    Raises BrokenInput when the file cannot be read as TOML, WrongUsage when a setting is missing, unknown
    or not a number of its kind.
    """
    path = path or DEFAULTS
    content = settings_file.read(path, "judgement", "evaluation settings")
    kinds = {field.name: field.type for field in fields(EvaluationSettings)}
    settings_file.check(content, kinds, "evaluation settings", str(path))
    return EvaluationSettings(**content)
