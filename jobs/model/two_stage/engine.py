"""Both stages together: fitted on a past, asked for lists.

In: rows up to a moment, the metadata of items, settings. Out: fitted generators with a ranker, and the ranked pool of
each user. The ranker of a moment learns from slices before it alone: what a slice's features are made of had arrived
before the slice began. A slice is fitted once, whether it trains a ranker or is judged (`Moments`).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jobs.model import matrix
from jobs.model.metadata import Metadata
from jobs.model.past import Past, past_of
from jobs.model.settings import ModelSettings, stage_of
from jobs.model.two_stage import candidates, feature_table, features, generators
from jobs.model.two_stage.generators import Generators
from jobs.model.two_stage.ranker import Examples, Ranker, learn


@dataclass(frozen=True)
class Rows:
    """Accepted rows in order of arrival: user ids (rows,), items' positions, ratings; `items` is how many there are."""

    users: NDArray[np.int32]
    items: NDArray[np.int64]
    ratings: NDArray[np.int8]
    item_count: int

    def before(self, moment: int) -> tuple[Past, matrix.Ids]:
        """Return the past of the first `moment` rows and the ids of its users."""
        users = matrix.ids_of(self.users[:moment])
        positions = users.positions(self.users[:moment])
        shape = (len(users.values), self.item_count)
        return past_of(positions, self.items[:moment], self.ratings[:moment], shape), users


@dataclass(frozen=True)
class Taught:
    """A ranker (None with too few cases) and what it learned from: slices, cases, and the recall of candidates."""

    ranker: Ranker | None
    slices: int
    cases: int
    recall: float


@dataclass(frozen=True)
class _Slice:
    examples: Examples
    liked: int
    found: int


@dataclass
class Moments:
    """Fits of one source of rows by moment: each is made once, examples are kept, generators only while needed."""

    metadata: Metadata
    settings: ModelSettings
    #: Rows of a slice.
    width: int
    threads: int | None = None
    _slices: dict[int, _Slice] = field(default_factory=dict)
    _fitted: dict[int, tuple[Generators, matrix.Ids]] = field(default_factory=dict)
    _taught: dict[int, Taught] = field(default_factory=dict)

    def generators(self, rows: Rows, moment: int) -> tuple[Generators, matrix.Ids]:
        """Return the generators fitted on the first `moment` rows, and the ids of their users."""
        if moment not in self._fitted:
            self._fitted.clear()  # one at a time: at full size a fit holds 0.4 GB
            past, users = rows.before(moment)
            fitted = generators.fit(past, self.metadata, self.settings, self.threads)
            self._fitted[moment] = (fitted, users)
        return self._fitted[moment]

    def taught(self, rows: Rows, moment: int) -> Taught:
        """Return the ranker of a moment, learned from the newest slices before it."""
        if moment not in self._taught:
            self._taught[moment] = self._teach(rows, moment)
        return self._taught[moment]

    def _teach(self, rows: Rows, moment: int) -> Taught:
        stage = stage_of(self.settings)
        learned: list[_Slice] = []
        cases = 0
        for back in range(1, stage.ranker_slices + 1):
            start = moment - back * self.width
            if start <= 0 or cases >= stage.ranker_cases:
                break
            learned.append(self._slice(rows, self._kept(start)))
            cases += len(learned[-1].examples.sizes)
        liked, found = sum(one.liked for one in learned), sum(one.found for one in learned)
        ranker = None
        if cases >= stage.ranker_least_cases:
            examples = [one.examples for one in learned]
            ranker = learn(examples, feature_table.NAMES, self.settings, self.threads)
        return Taught(ranker, len(learned), cases, found / liked if liked else 0.0)

    def _kept(self, start: int) -> int:
        """Return where a slice from `start` begins: where one was fitted, a fiftieth of a slice before at most.

        Cuts at shares of the rows are no multiples of a slice apart: else nothing would be shared between them.
        """
        least = start - self.width // 50
        near = [at for at in (*self._slices, *self._fitted) if least <= at <= start]
        return max(near, default=start)

    def _slice(self, rows: Rows, start: int) -> _Slice:
        if start not in self._slices:
            fitted, users = self.generators(rows, start)
            self._slices[start] = _examples(fitted, users, rows, slice(start, start + self.width))
        return self._slices[start]


def width_of(rows: int, settings: ModelSettings) -> int:
    """Return how many rows a slice holds that teaches the ranker of a source of so many rows."""
    # Rounded down: slices that are counted back from a later cut begin at or after those of an earlier one.
    return max(1, int(rows * stage_of(settings).ranker_slice_share))


def _examples(fitted: Generators, users: matrix.Ids, rows: Rows, slice_: slice) -> _Slice:
    """Return the examples of a slice: the candidates of known users who liked something in it."""
    positive = rows.ratings[slice_] >= fitted.settings.positive_from
    ids, items = rows.users[slice_][positive], rows.items[slice_][positive]
    known = np.isin(ids, users.values)
    owners, items = users.positions(ids[known]), items[known]
    wanted = np.unique(owners * rows.item_count + items)
    parts = [
        _of_block(fitted, block, wanted, rows.item_count)
        for block in candidates.blocks(np.unique(owners))
    ]
    joined = _joined(parts)
    return _Slice(joined, len(wanted), int(joined.liked.sum()))


def _joined(parts: list[Examples]) -> Examples:
    """Return the examples of several blocks as one."""
    none = Examples(
        np.empty((0, len(feature_table.NAMES)), np.float32),
        np.empty(0, np.bool_),
        np.empty(0, np.int64),
    )
    return Examples(
        np.concatenate([one.features for one in (none, *parts)]),
        np.concatenate([one.liked for one in (none, *parts)]),
        np.concatenate([one.sizes for one in (none, *parts)]),
    )


def _of_block(
    fitted: Generators, users: NDArray[np.int64], wanted: NDArray[np.int64], items: int
) -> Examples:
    """Return the examples of a block of users; those of whom no candidate was liked teach nothing."""
    found = candidates.of_block(fitted, users)
    liked = np.isin(users[found.row] * items + found.item, wanted)
    has = np.bincount(found.row, liked, minlength=len(users)) > 0
    kept = has[found.row]
    return Examples(
        features.matrix(found.columns)[kept],
        liked[kept],
        np.bincount(found.row[kept], minlength=len(users))[has],
    )


def ranked(
    fitted: Generators, ranker: Ranker, users: NDArray[np.int64], threads: int | None = None
) -> tuple[candidates.Candidates, NDArray[np.float32]]:
    """Return the candidates of a block of users and the ranker's score of each."""
    found = candidates.of_block(fitted, users)
    return found, ranker.scores(features.matrix(found.columns), threads)
