"""What users have read of each series and edition, as the rules of the shelf ask for it.

In: rated pairs of a block of users, the metadata of items. Out: `Known`, tables by user.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.model.metadata import NONE, Metadata


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
    width = int(metadata.series.max(initial=NONE)) + 1
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
    editions = np.zeros((users, int(metadata.edition.max(initial=NONE)) + 1), dtype=np.bool_)
    editions[read.row, metadata.edition[read.item]] = True
    return Known(highest, lowest, begun, editions, boxed_from, boxed_to)
