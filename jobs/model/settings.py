"""Settings that change what a release holds, and therefore its id.

In: a TOML file, by default the one beside this module for the engine that is asked for. Out: a frozen `ModelSettings`.
Guarantees that every setting is known, of the right type and one the model can be computed with, and that nothing
outside this class changes a list.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from jobs.release import inputs
from jobs.runtime import settings_file
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import WrongUsage
from schemas.sources import ALS, EASE

#: The settings each engine ships with.
SHIPPED = {
    ALS: Path(__file__).with_name("settings.toml"),
    EASE: Path(__file__).with_name("settings_ease.toml"),
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
}
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


def as_mapping(settings: ModelSettings) -> dict[str, object]:
    """Return the settings that the engine uses, by name; `from_mapping` reads them back."""
    unused = UNUSED[settings.engine]
    return {name: value for name, value in asdict(settings).items() if name not in unused}


def load(path: Path | None, engine: str | None = None) -> ModelSettings:
    """Return the settings in `path`, or for None those that `engine` (None: ALS) ships with.

    Raises BrokenInput when the file cannot be read as TOML, WrongUsage when a setting is missing, unknown,
    of the wrong type, or 0 where the model cannot be computed with 0, or when the file is for another engine.
    """
    wanted = _engine(engine or ALS, "environment")
    path = path or SHIPPED[wanted]
    found = from_mapping(settings_file.read(path, "model", "model settings"), str(path))
    if engine is not None and found.engine != engine:
        raise WrongUsage(
            f"the settings are for the engine {found.engine!r}, asked for is {engine!r}",
            str(path),
            "unset NIGHTSHELF_ENGINE, or name a file for that engine in NIGHTSHELF_MODEL_SETTINGS",
        )
    return found


def from_mapping(content: dict[str, object], where: str) -> ModelSettings:
    """Return the settings in a mapping of names to values, without `engine` those of ALS.

    Raises WrongUsage as `load` does.
    """
    engine = _engine(content.get("engine", ALS), where)
    numbers = {name: value for name, value in content.items() if name != "engine"}
    unused = UNUSED[engine]
    kinds = {
        field.name: field.type
        for field in fields(ModelSettings)
        if field.name != "engine" and field.name not in unused
    }
    settings_file.check(numbers, kinds, f"model settings of the engine {engine!r}", where)
    positive = _POSITIVE | {"regularization"} if engine == EASE else _POSITIVE
    for name, value in numbers.items():
        if name in positive and not value > 0:  # type: ignore[operator]  # checked above
            raise WrongUsage(f"{name} = {value!r} is not above 0", where, "correct the value")
    return ModelSettings(**unused, **numbers, engine=engine)  # type: ignore[arg-type]  # checked above


def of_release(folder: ReleaseFolder) -> ModelSettings:
    """Return the settings a release was begun with. Raises BrokenInput when extract has not finished."""
    return from_mapping(inputs.read(folder)["settings"], str(folder.inputs))


def _engine(name: object, where: str) -> str:
    if name not in SHIPPED:
        known = ", ".join(SHIPPED)
        raise WrongUsage(f"there is no engine {name!r}", where, f"name one of {known}")
    return str(name)
