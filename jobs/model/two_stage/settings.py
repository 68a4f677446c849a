"""Settings of the two stages beside those of the model: generators, ranker, pool.

In: the table `two_stage` of a settings file. Out: a frozen `TwoStageSettings`; every setting is there, known, of its
type and above 0 where nothing could be computed with 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from jobs.runtime import settings_file
from jobs.runtime.errors import WrongUsage

#: What may be 0.
_MAY_BE_ZERO = frozenset({"ease_neutral_weight", "ease_low_weight", "ranker_least_cases"})


@dataclass(frozen=True)
class TwoStageSettings:
    """The meaning of each stands in settings_two_stage.toml."""

    long_half_life_books: float
    ease_neighbours: int
    ease_regularization: float
    ease_neutral_weight: float
    ease_low_weight: float
    ease_half_life_share: float
    ease_half_life_books: float
    last_books: int
    new_regularization: float
    ranker_slices: int
    ranker_slice_share: float
    ranker_cases: int
    ranker_least_cases: int
    ranker_trees: int
    ranker_leaves: int
    ranker_leaf_rows: int
    ranker_learning_rate: float
    pool: int


def from_mapping(content: Mapping[str, object], where: str) -> TwoStageSettings:
    """Return the settings in a mapping of names to values. Raises WrongUsage for one that cannot be used."""
    kinds = {field.name: field.type for field in fields(TwoStageSettings)}
    settings_file.check(content, kinds, "settings of the two stages", where)
    for name, value in content.items():
        if name not in _MAY_BE_ZERO and not value > 0:  # type: ignore[operator]  # a number: checked above
            raise WrongUsage(f"{name} = {value!r} is not above 0", where, "correct the value")
    return TwoStageSettings(**content)  # type: ignore[arg-type]  # checked above
