"""What the cards say of each item, as numbers: authors, series and volume, edition, genres, language.

In: the cards of the catalogue. Out: `Metadata`, arrays in the order of the cards. An item of which a card says nothing
has -1 or NaN, so a catalogue without authors, series or genres is one in which all items have these.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model import titles
from schemas.tables import AUTHORS, GENRES, LANGUAGE, TITLE

#: What stands where a card names no author, series or language.
NONE = -1


@dataclass(frozen=True)
class Metadata:
    """Numbers of n items.

    `author`, `series`, `edition` and `language` (n,) are numbers of groups, `NONE` without one; `edition` is alone
    where no other item has the same name and first author. `volume` and `last` (n,) are NaN without a number; they
    differ in a box set or range, which `box_set` (n,) tells. `first` (n,) is the lowest whole volume of the item's
    series in the catalogue. `genres` (n, g) holds ones.
    """

    author: NDArray[np.int32]
    series: NDArray[np.int32]
    volume: NDArray[np.float32]
    last: NDArray[np.float32]
    first: NDArray[np.float32]
    box_set: NDArray[np.bool_]
    edition: NDArray[np.int32]
    language: NDArray[np.int32]
    genres: sp.csr_matrix

    @cached_property
    def genre_units(self) -> NDArray[np.float32]:
        """The genres of each item (n, g) as a vector of length 1, zeros without any."""
        dense: NDArray[np.float32] = self.genres.toarray()
        dense /= np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1)
        return dense

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which items (n,) are a single whole-number volume of a series."""
        single = (self.series != NONE) & ~self.box_set & (self.volume == self.last)
        return np.asarray(single & (self.volume == np.floor(self.volume)))


def of_cards(cards: pl.DataFrame) -> Metadata:
    """Return the metadata of the cards (BOOKS), in their order."""
    parsed = [titles.parse(title) for title in cards[TITLE]]
    authors: list[Sequence[str]] = cards[AUTHORS].to_list()
    series = _numbers(one.series for one in parsed)
    volume = _floats(one.first for one in parsed)
    last = _floats(one.last for one in parsed)
    box_set = np.array([one.box_set for one in parsed], dtype=np.bool_)
    found = Metadata(
        author=_numbers(names[0] if names else None for names in authors),
        series=series,
        volume=volume,
        last=last,
        first=np.full(len(parsed), np.nan, dtype=np.float32),
        box_set=box_set,
        edition=_editions(parsed, authors),
        language=_numbers(cards[LANGUAGE]),
        genres=_genres(cards[GENRES].to_list()),
    )
    _fill_first(found)
    return found


def width_of(group: NDArray[np.int32]) -> int:
    """Return how many groups there are, 1 without any: so tables by group need no case of their own for none."""
    return max(int(group.max(initial=NONE)) + 1, 1)


def first_items(metadata: Metadata) -> NDArray[np.int64]:
    """Return the item of each series' first whole volume, -1 without one."""
    found = np.full(int(metadata.series.max(initial=NONE)) + 1, -1, dtype=np.int64)
    items = np.flatnonzero(metadata.whole & (metadata.volume == metadata.first))
    found[metadata.series[items][::-1]] = items[::-1]
    return found


def _editions(
    parsed: Sequence[titles.Title], authors: Sequence[Sequence[str]]
) -> NDArray[np.int32]:
    """Return a number for each book; titles of one name are the same book unless they name different volumes."""
    keys = [titles.edition_key(one, names) for one, names in zip(parsed, authors, strict=True)]
    volumes: dict[str, set[float]] = {}
    for key, one in zip(keys, parsed, strict=True):
        if one.first is not None:
            volumes.setdefault(key, set()).add(one.first)
    return _numbers(
        f"{key} {one.first}" if len(volumes.get(key, ())) > 1 else key
        for key, one in zip(keys, parsed, strict=True)
    )


def _fill_first(found: Metadata) -> None:
    """Set `first` of every item of a series: of its whole volumes the lowest from 1 on, else the lowest."""
    whole = np.flatnonzero(found.whole)
    for least in (-np.inf, 1.0):
        usable = whole[found.volume[whole] >= least]
        lowest = np.full(width_of(found.series), np.inf, dtype=np.float32)
        np.minimum.at(lowest, found.series[usable], found.volume[usable])
        known = np.flatnonzero(found.series != NONE)
        values = lowest[found.series[known]]
        found.first[known] = np.where(np.isfinite(values), values, found.first[known])


def _numbers(names: Iterable[str | None]) -> NDArray[np.int32]:
    """Return a number for each name, the same for equal ones, in order of appearance; `NONE` for None."""
    seen: dict[str, int] = {}
    return np.array(
        [NONE if name is None else seen.setdefault(name, len(seen)) for name in names],
        dtype=np.int32,
    )


def _floats(values: Iterable[float | None]) -> NDArray[np.float32]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float32)


def _genres(lists: list[Sequence[str]]) -> sp.csr_matrix:
    numbers = _numbers(genre for genres in lists for genre in genres)
    starts = np.concatenate([[0], np.cumsum([len(genres) for genres in lists], dtype=np.int64)])
    ones = np.ones(len(numbers), dtype=np.float32)
    shape = (len(lists), int(numbers.max(initial=NONE)) + 1)
    return sp.csr_matrix((ones, numbers, starts), shape=shape)
