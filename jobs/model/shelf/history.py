"""What users have read of each series and edition, as the rules of the shelf ask for it.

In: rated pairs of a block of users, the metadata of items. Out: `Known`, tables by user, and what follows from them
for items that may be shown.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.model.metadata import NONE, Metadata, width_of


@dataclass(frozen=True)
class Read:
    """What the users of a block have rated, as places in the block and items, (m,) each."""

    row: NDArray[np.int64]
    item: NDArray[np.int32]


@dataclass(frozen=True)
class Known:
    """What users have read of series, (users, series), infinite without one; `editions` is (users, editions).

    `highest` and `lowest` are volumes, `boxed_from` and `boxed_to` the ends of the box sets among them.
    """

    highest: NDArray[np.float32]
    lowest: NDArray[np.float32]
    begun: NDArray[np.bool_]
    editions: NDArray[np.bool_]
    boxed_from: NDArray[np.float32]
    boxed_to: NDArray[np.float32]


def known_of(users: int, read: Read, metadata: Metadata) -> Known:
    """Return what a block of `users` has read of each series."""
    width = width_of(metadata.series)
    highest = np.full((users, width), -np.inf, dtype=np.float32)
    lowest = np.full((users, width), np.inf, dtype=np.float32)
    begun = np.zeros((users, width), dtype=np.bool_)
    series = metadata.series[read.item]
    inside = series != NONE
    row, item, series = read.row[inside], read.item[inside], series[inside]
    begun[row, series] = True
    numbered = np.isfinite(metadata.volume[item])
    row, item, series = row[numbered], item[numbered], series[numbered]
    np.maximum.at(highest, (row, series), metadata.last[item])
    np.minimum.at(lowest, (row, series), metadata.volume[item])
    boxed_from, boxed_to = np.full_like(lowest, np.inf), np.full_like(highest, -np.inf)
    boxes = metadata.box_set[item]
    row, item, series = row[boxes], item[boxes], series[boxes]
    np.minimum.at(boxed_from, (row, series), metadata.volume[item])
    np.maximum.at(boxed_to, (row, series), metadata.last[item])
    editions = np.zeros((users, width_of(metadata.edition)), dtype=np.bool_)
    editions[read.row, metadata.edition[read.item]] = True
    return Known(highest, lowest, begun, editions, boxed_from, boxed_to)


def unread_later(items: NDArray[np.int64], known: Known, metadata: Metadata) -> NDArray[np.bool_]:
    """Say which items (users, places) are later volumes of which their user has read nothing earlier; -1 is none."""
    series, item = _series(items, metadata), np.maximum(items, 0)
    lowest = np.take_along_axis(known.lowest, np.maximum(series, 0), axis=1)
    volume = metadata.volume[item]
    later = (series != NONE) & (volume > metadata.first[item])
    return np.asarray(later & ~(lowest < volume))


def boxed(items: NDArray[np.int64], known: Known, metadata: Metadata) -> NDArray[np.bool_]:
    """Say which items (users, places) are box sets of a begun series, or inside one that was read; -1 is none."""
    series, item = _series(items, metadata), np.maximum(items, 0)
    place = np.maximum(series, 0)
    begun = np.take_along_axis(known.begun, place, axis=1)
    low = np.take_along_axis(known.boxed_from, place, axis=1)
    high = np.take_along_axis(known.boxed_to, place, axis=1)
    inside = (metadata.volume[item] >= low) & (metadata.last[item] <= high)
    return np.asarray((series != NONE) & ((metadata.box_set[item] & begun) | inside))


def _series(items: NDArray[np.int64], metadata: Metadata) -> NDArray[np.int32]:
    return np.where(items >= 0, metadata.series[np.maximum(items, 0)], np.int32(NONE))
