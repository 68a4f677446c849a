"""Stage 1: the items worth ranking for a user, and what is known of each.

In: fitted generators, users as positions. Out: `Candidates` by block: pairs of user and item, with features. An item
that the user has rated is never among them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.model import scoring
from jobs.model.metadata import NONE, Metadata, first_items, width_of
from jobs.model.two_stage import features, generators
from jobs.model.two_stage.features import Column, Entries, Groups, ItemFacts
from jobs.model.two_stage.generators import Generators

#: How many items each generator proposes to a user.
PROPOSED = {"als_short": 60, "als_long": 40, "ease": 80, "last": 40, "author": 30, "new": 5}
POPULAR = {"popular_0.05": 30, "popular_0.003": 20}
#: Users of one block: 256 x 10,000 scores of one generator take 10 MB.
BLOCK = 256


@dataclass(frozen=True)
class Candidates:
    """Pairs of a block: `row` (m,) is the place in `users`, ascending; `columns` holds features (m,) by name."""

    users: NDArray[np.int64]
    row: NDArray[np.int64]
    item: NDArray[np.int64]
    columns: dict[str, Column]


def blocks(users: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield users block by block."""
    return (users[start : start + BLOCK] for start in range(0, len(users), BLOCK))


def of_block(fitted: Generators, users: NDArray[np.int64]) -> Candidates:
    """Return the candidates of some users with all features."""
    past, metadata, facts = fitted.past, fitted.metadata, fitted.facts
    read = features.entries(past, users)
    scores = generators.scores(fitted, users)
    rated = np.zeros(scores["ease"].shape, dtype=np.bool_)
    rated[read.row, read.item] = True
    for one in scores.values():
        one[rated] = -np.inf
    series = features.groups(read, metadata.series, metadata.last)
    chosen = _chosen(scores, facts, rated) | (_begun(series, fitted, len(users)) & ~rated)
    _add_first(chosen, series, rated, metadata)
    row, item = np.nonzero(chosen)
    columns = _ranks(scores, row, item)
    columns |= {name: column[item] for name, column in facts.columns.items()}
    since = _since(past.rows, past.pairs.order, past.pairs.starts, users)
    of_users, mean = features.of_users(read, row, since)
    columns |= of_users
    author = features.groups(read, metadata.author, metadata.last)
    columns |= features.of_group(author, row, metadata.author[item], "author", mean)
    columns |= features.of_group(series, row, metadata.series[item], "series", mean)
    columns |= features.of_series(series, row, item, metadata)
    columns |= features.of_genres(read, row, item, metadata)
    columns |= _languages(read, row, item, metadata.language)
    return Candidates(users, row, item, columns)


def _chosen(
    scores: dict[str, NDArray[np.float32]], facts: ItemFacts, rated: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which items (rows, items) a generator or recent popularity proposes."""
    found = np.zeros(rated.shape, dtype=np.bool_)
    for name, count in PROPOSED.items():
        least = np.maximum(scoring.reached(scores[name], count), np.float32(1e-9))
        found |= scores[name] >= least[:, None]
    for name, count in POPULAR.items():
        popular = np.argsort(-facts.columns[name], kind="stable")
        # The unrated ones of the first, so that everybody has some.
        found[:, popular[: 2 * count]] = True
    return found & ~rated


def _begun(series: Groups, fitted: Generators, rows: int) -> NDArray[np.bool_]:
    """Return the volumes (rows, items) after the last one read of a series, up to the second."""
    metadata = fitted.metadata
    found = np.zeros((rows, len(metadata.series)), dtype=np.bool_)
    items = np.flatnonzero((metadata.series != NONE) & np.isfinite(metadata.volume))
    if len(items):
        greatest = series.greatest.reshape(rows, series.width)[:, metadata.series[items]]
        gap = metadata.volume[items] - greatest
        found[:, items] = (gap > 0) & (gap <= 2)  # noqa: PLR2004  # the next volume, and the one after it
    return found


def _add_first(
    chosen: NDArray[np.bool_], series: Groups, rated: NDArray[np.bool_], metadata: Metadata
) -> None:
    """Choose also the first volume of each unread series of which a later one was chosen."""
    first = first_items(metadata)
    row, item = np.nonzero(chosen)
    of = metadata.series[item]
    row, of = row[of != NONE], of[of != NONE]
    if not len(of):
        return
    unread = (series.number.reshape(len(chosen), series.width)[row, of] == 0) & (first[of] >= 0)
    row, item = row[unread], first[of[unread]]
    chosen[row, item] = ~rated[row, item]


def _ranks(
    scores: dict[str, NDArray[np.float32]], row: NDArray[np.int64], item: NDArray[np.int64]
) -> dict[str, Column]:
    """Return of each generator a candidate's score relative to the best of its user, and its rank among them."""
    found: dict[str, Column] = {}
    counts = np.bincount(row, minlength=int(row.max(initial=-1)) + 1)
    starts = np.cumsum(counts) - counts
    proposed = np.zeros(len(row), dtype=np.float32)
    for name, values in scores.items():
        value = values[row, item]
        greatest = np.maximum.reduceat(value, starts[counts > 0]) if len(value) else value
        per_row = np.zeros(len(counts), dtype=np.float32)
        per_row[counts > 0] = greatest
        found[f"{name}_score"] = (value / np.maximum(per_row[row], 1e-6)).astype(np.float32)
        order = np.argsort(_sortable(row, value), kind="stable")
        rank = np.empty(len(row), dtype=np.float32)
        rank[order] = np.arange(len(row)) - starts[row[order]]
        found[f"{name}_rank"] = np.log1p(rank)
        proposed += (rank < PROPOSED[name]) & (value > 0)
    found["als_strength"] = scores["als_short"][row, item]
    found["generators"] = proposed
    return found


def _sortable(row: NDArray[np.int64], value: Column) -> NDArray[np.int64]:
    """Return a number for each candidate that ascends with its row and descends with its value."""
    descending = ~scoring.sortable(value + np.float32(0))
    return row << 32 | descending.astype(np.int64) + (1 << 31)


def _since(
    rows: int, order: NDArray[np.int32], starts: NDArray[np.int32], users: NDArray[np.int64]
) -> Column:
    """Return how long ago each user's newest row arrived, as a share of all rows."""
    newest = order[starts[users + 1] - 1]
    return np.asarray((rows - newest) / max(rows, 1), dtype=np.float32)


def _languages(
    read: Entries, row: NDArray[np.int64], item: NDArray[np.int64], language: NDArray[np.int32]
) -> dict[str, Column]:
    """Return which share of what its user read is in a candidate's language."""
    width = width_of(language)
    known = language[read.item] != NONE
    cell = read.row[known] * width + language[read.item[known]]
    counts = np.bincount(cell, minlength=read.count * width).reshape(read.count, width)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    found = share[row, np.maximum(language[item], 0)]
    return {"language": np.where(language[item] != NONE, found, np.nan).astype(np.float32)}
