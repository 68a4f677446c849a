"""What the ranker knows of a candidate, computed alike for training, evaluation and tonight.

In: fitted generators, a block of users, candidate pairs. Out: the columns of `feature_table`, float32, NaN where
nothing is known. A feature is a function of the rows of the generators' past and of the cards: rows that arrive later
change none (tests/jobs/model/two_stage/test_two_stages.py).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.model.metadata import NONE, Metadata, width_of
from jobs.model.past import Past
from jobs.model.popularity import recency
from jobs.model.two_stage.feature_table import NAMES

Column = NDArray[np.float32]


def matrix(columns: dict[str, Column]) -> NDArray[np.float32]:
    """Return the columns as (candidates, features), in the order of `FEATURES`."""
    return np.column_stack([columns[name] for name in NAMES]).astype(np.float32, copy=False)


@dataclass(frozen=True)
class ItemFacts:
    """What is known of each item (n,) at a moment, the same for all users."""

    columns: dict[str, Column]


#: Half-lives of popularity, as shares of all rows.
_HALF_LIVES = {
    "popular_0.2": 0.2,
    "popular_0.05": 0.05,
    "popular_0.01": 0.01,
    "popular_0.003": 0.003,
}


def item_facts(past: Past, metadata: Metadata) -> ItemFacts:
    """Return the facts of all items at the end of a past."""
    count, rows = past.pairs.shape[1], max(past.rows, 1)
    seen = np.bincount(past.items, minlength=count)
    first = np.full(count, rows, dtype=np.float64)
    np.minimum.at(first, past.items, np.arange(past.rows))
    last = np.full(count, -1.0)
    np.maximum.at(last, past.items, np.arange(past.rows))
    columns: dict[str, Column] = {"ratings": np.log1p(seen).astype(np.float32)}
    for name, share in _HALF_LIVES.items():
        weighted = np.bincount(past.items, recency(past.rows, share), minlength=count)
        columns[name] = np.log(weighted / (share * rows) + 1e-7).astype(np.float32)
    columns["rising"] = columns["popular_0.01"] - columns["popular_0.2"]
    columns["age"] = np.where(seen > 0, 1 - first / rows, np.nan).astype(np.float32)
    columns["unread_for"] = np.where(seen > 0, 1 - last / rows, np.nan).astype(np.float32)
    total = np.bincount(past.items, past.ratings, minlength=count)
    mean = float(past.ratings.mean()) if past.rows else 0.0
    columns["mean_rating"] = ((total + 5 * mean) / (seen + 5)).astype(np.float32)
    columns["volume"] = metadata.volume
    columns["box_set"] = metadata.box_set.astype(np.float32)
    return ItemFacts(columns)


@dataclass(frozen=True)
class Entries:
    """What the users of a block have rated: row of the block, item, rating, and how many they rated later; all (m,)."""

    count: int
    row: NDArray[np.int64]
    item: NDArray[np.int32]
    rating: Column
    later: Column


def entries(past: Past, users: NDArray[np.int64]) -> Entries:
    """Return what `users`, given as positions, have rated."""
    starts, lengths = past.pairs.starts[users], np.diff(past.pairs.starts)[users]
    row = np.repeat(np.arange(len(users)), lengths)
    within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    place = np.repeat(starts, lengths) + within
    return Entries(
        count=len(users),
        row=row,
        item=past.pairs.books[place],
        rating=past.ratings[past.pairs.order[place]].astype(np.float32),
        later=past.later[place],
    )


@dataclass(frozen=True)
class Groups:
    """Sums over what each user of a block read of each group (an author, a series), as tables of (rows, groups)."""

    width: int
    number: Column
    rating: Column
    newest: Column
    greatest: Column


def groups(read: Entries, group: NDArray[np.int32], volume: Column) -> Groups:
    """Return the sums of a block over `group` (items,); `volume` (items,) is what `greatest` is taken of."""
    width = width_of(group)
    known = group[read.item] != NONE
    row, item = read.row[known], read.item[known]
    cell = row * width + group[item]
    size = read.count * width
    newest = np.full(size, np.inf, dtype=np.float32)
    np.minimum.at(newest, cell, read.later[known])
    greatest = np.full(size, -np.inf, dtype=np.float32)
    numbered = np.isfinite(volume[item])
    np.maximum.at(greatest, cell[numbered], volume[item][numbered])
    return Groups(
        width=width,
        number=np.bincount(cell, minlength=size).astype(np.float32),
        rating=np.bincount(cell, read.rating[known], minlength=size).astype(np.float32),
        newest=newest,
        greatest=greatest,
    )


def of_group(
    found: Groups, row: NDArray[np.int64], group: NDArray[np.int32], prefix: str, mean: Column
) -> dict[str, Column]:
    """Return the features of candidates from the sums over their group (candidates,)."""
    known = group != NONE
    cell = np.where(known, row * found.width + group, 0)
    number = np.where(known, found.number[cell], np.float32(0))
    begun = number > 0
    rating = found.rating[cell] / np.maximum(number, 1)
    newest = found.newest[cell]
    nothing = np.float32(np.nan)
    return {
        f"{prefix}_read": number,
        f"{prefix}_rating": np.where(begun, rating - mean[row], nothing),
        f"{prefix}_since": np.where(begun, np.log1p(newest), nothing),
    }


def of_series(
    found: Groups, row: NDArray[np.int64], item: NDArray[np.int64], metadata: Metadata
) -> dict[str, Column]:
    """Return where a candidate stands in its series, relative to what its user has read of it."""
    series, nothing = metadata.series[item], np.float32(np.nan)
    cell = np.where(series != NONE, row * found.width + series, 0)
    begun = (series != NONE) & (found.number[cell] > 0) & np.isfinite(found.greatest[cell])
    gap = np.where(begun, metadata.volume[item] - found.greatest[cell], nothing)
    return {
        "series_gap": gap.astype(np.float32),
        "series_first": np.where(
            series != NONE, metadata.volume[item] - metadata.first[item], nothing
        ).astype(np.float32),
    }


def of_genres(
    read: Entries, row: NDArray[np.int64], item: NDArray[np.int64], metadata: Metadata
) -> dict[str, Column]:
    """Return how near a candidate's genres are to those of what was read, in all and lately: a cosine."""
    dense = metadata.genre_units
    if not dense.shape[1]:
        empty = np.full(len(row), np.nan, dtype=np.float32)
        return {"genres": empty, "genres_lately": empty}
    found = {}
    for name, half_life in (("genres", np.inf), ("genres_lately", 5.0)):
        weight = np.exp2(-read.later / np.float32(half_life)) * np.maximum(read.rating - 2, 0)
        profile = np.zeros((read.count, dense.shape[1]), dtype=np.float32)
        for column in range(dense.shape[1]):
            profile[:, column] = np.bincount(
                read.row, weight * dense[read.item, column], minlength=read.count
            )
        norm = np.linalg.norm(profile, axis=1, keepdims=True)
        profile /= np.maximum(norm, 1e-9)
        found[name] = np.einsum("ij,ij->i", profile[row], dense[item])
    return found


def of_users(
    read: Entries, row: NDArray[np.int64], rows_since: Column
) -> tuple[dict[str, Column], Column]:
    """Return what is known of the candidates' users, and their mean ratings (rows,)."""
    number = np.bincount(read.row, minlength=read.count).astype(np.float32)
    total = np.bincount(read.row, read.rating, minlength=read.count).astype(np.float32)
    mean = (total / np.maximum(number, 1)).astype(np.float32)
    return {
        "user_ratings": np.log1p(number)[row],
        "user_mean": mean[row],
        "user_since": rows_since[row],
    }, mean
