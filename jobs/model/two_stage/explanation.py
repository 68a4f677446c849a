"""Why the ranker put a book where it stands: who proposed it, and which features spoke most.

In: a release of two stages, a user, a book. Out: generators, rank and score, and the strongest features by TreeSHAP
(`jobs.model.two_stage.ranker`), each with its value and its words. They add up, with the rest, to the ranker's score.
"""

from dataclasses import dataclass

import numpy as np

from jobs.model import matrix, metadata
from jobs.model.factors import read_factors
from jobs.model.past import past_of
from jobs.model.settings import of_release as settings_of
from jobs.model.two_stage import candidates, engine, feature_table, features, generators, stored
from jobs.model.two_stage.candidates import Candidates
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.table_files import read_table
from schemas.tables import BOOK_ID, RATING, USER_ID


@dataclass(frozen=True)
class Spoke:
    """A feature: its name, what it says, its value (None: unknown) in its unit, and what it adds to the score."""

    feature: str
    meaning: str
    unit: str
    value: float | None
    part: float


@dataclass(frozen=True)
class Ranked:
    """Where a book stands among a user's candidates, from 1 on, before the shelf rules; who proposed it; what spoke."""

    rank: int
    of: int
    score: float
    generators: tuple[str, ...]
    features: tuple[Spoke, ...]


def ranked(folder: ReleaseFolder, user_id: int, book_id: int, limit: int = 5) -> Ranked | None:
    """Return why the ranker of a release put a book where it stands for a user; None where it did not rank it.

    Raises BrokenInput when the release is not trained, or its ranker is of other features.
    """
    ranker = stored.read(folder)
    if ranker is None:
        return None
    cards = read_table(folder.books, "extract")
    rows = read_table(folder.interactions, "extract", [USER_ID, BOOK_ID, RATING])
    users, books = matrix.ids_of(rows[USER_ID].to_numpy()), matrix.Ids(cards[BOOK_ID].to_numpy())
    past = past_of(
        users.positions(rows[USER_ID].to_numpy()),
        books.positions(rows[BOOK_ID].to_numpy()),
        rows[RATING].to_numpy(),
        (len(users.values), len(books.values)),
    )
    fitted = generators.fit(
        past,
        metadata.of_cards(cards),
        settings_of(folder),
        vectors=read_factors(folder).vectors.books,
    )
    user = users.positions(np.array([user_id], dtype=np.int32))
    found, scores = engine.ranked(fitted, ranker, user)
    place = np.flatnonzero(found.item == books.positions(np.array([book_id], dtype=np.int32))[0])
    if not len(place):
        return None
    at = int(place[0])
    parts = ranker.contributions(features.matrix(found.columns)[at : at + 1])[0, :-1]
    return Ranked(
        rank=int((scores > scores[at]).sum()) + 1,
        of=len(scores),
        score=float(scores[at]),
        generators=_proposed(found, at),
        features=tuple(
            _spoke(found, at, int(one), parts) for one in np.argsort(-abs(parts))[:limit]
        ),
    )


def _proposed(found: Candidates, at: int) -> tuple[str, ...]:
    """Return the generators among whose proposals a candidate is."""
    ranks = {name: np.expm1(found.columns[f"{name}_rank"][at]) for name in candidates.PROPOSED}
    scored = {name: found.columns[f"{name}_score"][at] > 0 for name in candidates.PROPOSED}
    return tuple(
        name
        for name, count in candidates.PROPOSED.items()
        if scored[name] and round(float(ranks[name])) < count
    )


def _spoke(found: Candidates, at: int, place: int, parts: np.ndarray) -> Spoke:
    feature = feature_table.FEATURES[place]
    value = float(found.columns[feature.name][at])
    told = None if np.isnan(value) else round(value, 4)
    return Spoke(feature.name, feature.meaning, feature.unit, told, round(float(parts[place]), 4))
