"""Which lists break a rule of the shelf in their first places: what a bookseller would be ashamed of.

In: the first places of lists, what their users have rated, the metadata of items. Out: by rule, which lists break it.
Counted from the lists alone, whatever made them: `jobs.model.shelf.shelving` is one way to have none.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.model.metadata import NONE, Metadata
from jobs.model.shelf.history import Known, Read, boxed, known_of, unread_later
from jobs.model.shelf.rules import ShelfRules


@dataclass(frozen=True)
class Faults:
    """Which lists (n,) break each rule, and of all later volumes shown the share without an earlier one read."""

    by_rule: dict[str, NDArray[np.bool_]]
    unread_later_share: float


def count(top: NDArray[np.int64], read: Read, metadata: Metadata, rules: ShelfRules) -> Faults:
    """Return what is wrong with the first places of lists.

    Args:
        top: (n, places) items, best first, -1 after the last.
        read: what the users of these lists have rated, by place among them.
        metadata: of all items.
        rules: their caps are what is counted; a rule that is off is not.
    """
    known = known_of(len(top), read, metadata)
    shown = top >= 0
    item = np.maximum(top, 0)
    series = np.where(shown, metadata.series[item], NONE)
    author = np.where(shown, metadata.author[item], NONE)
    unread = unread_later(top, known, metadata)
    later = shown & metadata.whole[item] & (metadata.volume[item] > metadata.first[item])
    by_rule: dict[str, NDArray[np.bool_]] = {
        "volumes_in_order": _out_of_order(series, metadata.volume[item], metadata.whole[item]),
        "first_volume_first": np.asarray(unread.any(axis=1)),
        "most_of_an_author": _over(author, rules.most_of_an_author),
        "most_of_a_series": _over(series, rules.most_of_a_series),
        "no_box_set_of_a_begun_series": np.asarray(boxed(top, known, metadata).any(axis=1)),
        "no_second_edition": _again(np.where(shown, metadata.edition[item], NONE), known),
    }
    named = {name: values for name, values in by_rule.items() if getattr(rules, name)}
    return Faults(named, float((unread & later).sum() / max(later.sum(), 1)))


def _out_of_order(
    series: NDArray[np.int32], volume: NDArray[np.float32], whole: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Say of each list whether a whole volume stands behind a higher one of its series."""
    found = np.zeros(len(series), dtype=np.bool_)
    for first in range(series.shape[1]):
        for second in range(first + 1, series.shape[1]):
            same = (series[:, first] == series[:, second]) & (series[:, first] != NONE)
            both = whole[:, first] & whole[:, second]
            found |= same & both & (volume[:, first] > volume[:, second])
    return found


def _over(group: NDArray[np.int32], most: int) -> NDArray[np.bool_]:
    """Say of each list whether more than `most` of its places are of one group."""
    same = (group[:, :, None] == group[:, None, :]) & (group != NONE)[:, :, None]
    return np.asarray(same.sum(axis=2).max(axis=1, initial=0) > most)


def _again(edition: NDArray[np.int32], known: Known) -> NDArray[np.bool_]:
    """Say of each list whether it holds an edition of what was read, or two of one book."""
    read = np.take_along_axis(known.editions, np.maximum(edition, 0), axis=1) & (edition != NONE)
    return np.asarray(read.any(axis=1) | _over(edition, 1))
