"""Every baseline, and where its settings are looked for: with the search of `jobs.evaluation.search`."""

from collections.abc import Callable
from dataclasses import dataclass

from jobs.evaluation import ranking
from jobs.evaluation.measured import DEPTH
from jobs.evaluation.ranked import Ranked
from jobs.evaluation.ranking import History
from jobs.evaluation.search import SPACE, Range
from tests.research.baselines import ease, item_knn, plain_als

_TIME = {
    name: SPACE[name]
    for name in (
        "neutral_weight",
        "low_weight",
        "confidence_half_life_share",
        "profile_half_life_books",
    )
}
_POPULARITY = {"popularity_half_life_share": Range(0.001, 0.5, log=True)}
_PLAIN_ALS = {"alpha": Range(1, 200, log=True), "regularization": Range(1, 500, log=True)}
_REGULARIZATION = {"regularization": Range(1, 2000, log=True)}
_NEAREST = {
    "neighbours": Range(10, 400, log=True),
    "shrinkage": Range(0.1, 100, log=True),
    "asymmetry": Range(0, 1),
}


@dataclass(frozen=True)
class Baseline:
    """A ranking and what is tuned of it; an empty space needs no tuning."""

    lists: Callable[[History, dict[str, float]], Ranked]
    space: dict[str, Range]


def _popularity(past: History, values: dict[str, float]) -> Ranked:
    half_life = values.get("popularity_half_life_share", float("inf"))
    return ranking.by_popularity(past, half_life, DEPTH)


BASELINES = {
    "random": Baseline(plain_als.random, {}),
    "all_time_popularity": Baseline(_popularity, {}),
    "decayed_popularity": Baseline(_popularity, _POPULARITY),
    "plain_als": Baseline(plain_als.plain_als, _PLAIN_ALS),
    "plain_item_knn": Baseline(item_knn.item_knn, _NEAREST),
    "plain_ease": Baseline(ease.ease, _REGULARIZATION),
    "item_knn_in_time": Baseline(item_knn.item_knn, {**_NEAREST, **_TIME}),
    "ease_in_time": Baseline(ease.ease, {**_REGULARIZATION, **_TIME}),
}
