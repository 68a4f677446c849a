"""Settings that change what a release holds, and therefore its id.

In: a TOML file, by default the one beside this module for the engine that is asked for. Out: a frozen `ModelSettings`.
Guarantees that every setting is known, of the right type and one the model can be computed with, and that nothing
outside this class changes a list.
"""

import ctypes
import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from jobs.model.shelf import rules as shelf_rules
from jobs.model.shelf.rules import ShelfRules
from jobs.model.two_stage import settings as two_stage_settings
from jobs.model.two_stage.settings import TwoStageSettings
from jobs.release import inputs
from jobs.runtime import settings_file
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import WrongUsage
from schemas.sources import ALS, EASE, TWO_STAGE

#: The settings each engine ships with.
SHIPPED = {
    ALS: Path(__file__).with_name("settings.toml"),
    EASE: Path(__file__).with_name("settings_ease.toml"),
    TWO_STAGE: Path(__file__).with_name("settings_two_stage.toml"),
}
DEFAULTS = SHIPPED[ALS]
#: What an engine has no use for: its files do not name it, and it has this value. EASE knows one scale for weights.
UNUSED: dict[str, dict[str, int | float]] = {
    ALS: {},
    EASE: {
        "factors": 0,
        "iterations": 0,
        "alpha": 1.0,
        "profile_alpha": 1.0,
        "profile_regularization": 0.0,
        "seed": 0,
    },
    TWO_STAGE: {},
}
#: Tables of settings that only some engines have.
_TABLES = ("two_stage", "rules")
#: Sizes, divisors, and what keeps a user's equations solvable with fewer books than factors.
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
    """Settings of the model; the meaning of each stands in settings.toml."""

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
    engine: str = ALS
    two_stage: TwoStageSettings | None = None
    rules: ShelfRules | None = None


def as_mapping(settings: ModelSettings) -> dict[str, object]:
    """Return the settings that the engine uses, by name; `from_mapping` reads them back."""
    unused = {
        *UNUSED[settings.engine],
        *(name for name in _TABLES if getattr(settings, name) is None),
    }
    return {name: value for name, value in asdict(settings).items() if name not in unused}


def load(path: Path | None, engine: str | None = None, rules: Path | None = None) -> ModelSettings:
    """Return the settings in `path`, or for None those that `engine` (None: ALS) ships with.

    `rules` is the file of the shelf rules, None for the shipped one; an engine without rules does not read it.

    Raises BrokenInput when the file cannot be read as TOML, WrongUsage when a setting is missing, unknown,
    of the wrong type, or 0 where the model cannot be computed with 0, or when the file is for another engine.
    """
    wanted = _engine(engine or ALS, "environment")
    path = path or SHIPPED[wanted]
    content = settings_file.read(path, "model", "model settings")
    if content.get("engine") == TWO_STAGE:
        _require_lightgbm(str(path))
        content["two_stage"] = settings_file.read(path, "two_stage", "settings of the two stages")
        content["rules"] = shelf_rules.read(rules)
    found = from_mapping(content, str(path))
    if engine is not None and found.engine != engine:
        raise WrongUsage(
            f"the settings are for the engine {found.engine!r}, asked for is {engine!r}",
            str(path),
            "unset NIGHTSHELF_ENGINE, or name a file for that engine in NIGHTSHELF_MODEL_SETTINGS",
        )
    return found


def _require_lightgbm(where: str) -> None:
    """Raise WrongUsage when the ranker's library cannot be used here: before work starts, not after hours of it."""
    if importlib.util.find_spec("lightgbm") is None:
        missing, advice = (
            "LightGBM",
            "install the `jobs` environment again, or use NIGHTSHELF_ENGINE=als",
        )
    else:
        try:
            ctypes.CDLL("libgomp.so.1")
        except OSError:
            missing, advice = (
                "libgomp, which LightGBM loads",
                "install it (Debian: apt-get install libgomp1)",
            )
        else:
            return
    raise WrongUsage(f"the engine {TWO_STAGE!r} needs {missing}", where, advice)


def from_mapping(content: dict[str, object], where: str) -> ModelSettings:
    """Return the settings in a mapping of names to values, without `engine` those of ALS.

    Raises WrongUsage as `load` does.
    """
    engine = _engine(content.get("engine", ALS), where)
    apart = {"engine", *(_TABLES if engine == TWO_STAGE else ())}
    numbers = {name: value for name, value in content.items() if name not in apart}
    unused = UNUSED[engine]
    kinds = {
        field.name: field.type
        for field in fields(ModelSettings)
        if field.name not in {"engine", *_TABLES} and field.name not in unused
    }
    settings_file.check(numbers, kinds, f"model settings of the engine {engine!r}", where)
    positive = _POSITIVE | {"regularization"} if engine == EASE else _POSITIVE
    for name, value in numbers.items():
        if name in positive and not value > 0:  # type: ignore[operator]  # checked above
            raise WrongUsage(f"{name} = {value!r} is not above 0", where, "correct the value")
    found = ModelSettings(**unused, **numbers, engine=engine)  # type: ignore[arg-type]  # checked above
    if engine != TWO_STAGE:
        return found
    return replace(
        found,
        two_stage=two_stage_settings.from_mapping(_table(content, "two_stage"), where),
        rules=shelf_rules.from_mapping(_table(content, "rules"), where),
    )


def _table(content: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = content.get(name, {})
    return found if isinstance(found, Mapping) else {}


def stage_of(settings: ModelSettings) -> TwoStageSettings:
    """Return the settings of the two stages. Raises WrongUsage when the settings are for another engine."""
    if settings.two_stage is None:
        raise WrongUsage(
            f"the engine {settings.engine!r} has no second stage",
            "model settings",
            f"use settings of the engine {TWO_STAGE!r}",
        )
    return settings.two_stage


def of_release(folder: ReleaseFolder) -> ModelSettings:
    """Return the settings a release was begun with. Raises BrokenInput when extract has not finished."""
    return from_mapping(inputs.read(folder)["settings"], str(folder.inputs))


def _engine(name: object, where: str) -> str:
    if name not in SHIPPED:
        known = ", ".join(SHIPPED)
        raise WrongUsage(f"there is no engine {name!r}", where, f"name one of {known}")
    return str(name)
