"""Lists by the rules of the shelf.

In: each user's pool, best first, what the user has rated, the metadata of items, `ShelfRules`. Out: the pool in the
order of the list. Rules hold relative to the user; an item waits or gives its place. What a rule keeps out (a box set
of a begun series, a second edition) comes to a list only where the catalogue has nothing else left for it.

The list is filled place by place (greedily): the first item of the pool that no rule holds back takes the place. Of a
series, the whole-number volumes above the highest one read come in order: among the places they have, the lowest takes
the first.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from jobs.model.metadata import NONE, Metadata, first_items, width_of
from jobs.model.shelf.history import Known, Read, boxed, known_of, unread_later
from jobs.model.shelf.rules import ShelfRules

#: The places in which caps and the order of skipped volumes hold.
TOP = 10


@dataclass(frozen=True)
class Shelved:
    """Items (users, pool) in the order of the list, -1 after the last; `moved` counts by rule what it held back."""

    items: NDArray[np.int64]
    moved: dict[str, int]


def shelve(
    pool: NDArray[np.int64], read: Read, metadata: Metadata, rules: ShelfRules, limit: int
) -> Shelved:
    """Return the lists of a block of users.

    Args:
        pool: (users, pool) items, best first, -1 after the last.
        read: what these users have rated.
        metadata: of all items.
        rules: those that hold.
        limit: how many items a list holds.
    """
    moved = dict.fromkeys((field.name for field in fields(ShelfRules)), 0)
    pool = pool.copy()
    known = known_of(len(pool), read, metadata)
    kept_out = _keep_out(pool, known, metadata, rules, moved)
    if rules.first_volume_first:
        _bring_first(pool, known, metadata)
    if rules.volumes_in_order:
        moved["volumes_in_order"] += _in_order(pool, known, metadata)
    listed = _greedy(pool, known, metadata, rules, moved)
    return Shelved(_filled(listed, kept_out, limit), moved)


def _filled(
    listed: NDArray[np.int64], kept_out: NDArray[np.int64], limit: int
) -> NDArray[np.int64]:
    """Return the first `limit` of each list; where the catalogue ran out, what was kept out stands at the end."""
    short = np.flatnonzero(((listed >= 0).sum(axis=1) < limit) & (kept_out >= 0).any(axis=1))
    if len(short):
        joined = np.concatenate([listed, np.full_like(kept_out, -1)], axis=1)
        joined[short, listed.shape[1] :] = kept_out[short]
        joined[short] = _closed_up(joined[short])
        listed = joined
    return listed[:, :limit]


def _cells(pool: NDArray[np.int64], metadata: Metadata) -> tuple[NDArray[np.int64], ...]:
    """Return rows, places, items and series of the pool's items that belong to a series."""
    row, place = np.nonzero(pool >= 0)
    item = pool[row, place]
    series = metadata.series[item].astype(np.int64)
    inside = series != NONE
    return row[inside], place[inside], item[inside], series[inside]


def _keep_out(
    pool: NDArray[np.int64],
    known: Known,
    metadata: Metadata,
    rules: ShelfRules,
    moved: dict[str, int],
) -> NDArray[np.int64]:
    """Take out of the pool what comes to no list that can be filled otherwise, and return it; the rest moves up."""
    out = np.zeros(pool.shape, dtype=np.bool_)
    if rules.no_box_set_of_a_begun_series:
        out |= boxed(pool, known, metadata)
        moved["no_box_set_of_a_begun_series"] += int(out.sum())
    if rules.no_second_edition:
        again = _second_editions(pool, known, metadata) & ~out
        moved["no_second_edition"] += int(again.sum())
        out |= again
    kept_out = _closed_up(np.where(out, pool, -1))
    pool[:] = _closed_up(np.where(out, -1, pool))
    return kept_out


def _second_editions(
    pool: NDArray[np.int64], known: Known, metadata: Metadata
) -> NDArray[np.bool_]:
    """Say which items (users, pool) are editions of what was read or stands earlier in the pool."""
    row, place = np.nonzero(pool >= 0)
    edition = metadata.edition[pool[row, place]].astype(np.int64)
    found = np.zeros(pool.shape, dtype=np.bool_)
    found[row, place] = known.editions[row, edition]
    key = row * width_of(metadata.edition) + edition
    order = np.argsort(key, kind="stable")
    again = np.zeros(len(key), dtype=np.bool_)
    again[order[1:]] = key[order[1:]] == key[order[:-1]]
    found[row, place] |= again
    return found


def _closed_up(pool: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return items at the front of their rows, in order."""
    order = np.argsort(pool < 0, axis=1, kind="stable")
    return np.take_along_axis(pool, order, axis=1)


def _bring_first(pool: NDArray[np.int64], known: Known, metadata: Metadata) -> None:
    """Put the first volume into the pool where a later one of an unread series stands and the first does not.

    It takes the place of the last of the series' items in the pool: what comes first of them is settled after.
    """
    row, place, item, series = _cells(pool, metadata)
    unread = ~known.begun[row, series] & np.isfinite(metadata.first[item])
    row, place, item, series = row[unread], place[unread], item[unread], series[unread]
    wanted = first_items(metadata)[series]
    key = row * width_of(metadata.series) + series
    has = np.unique(key[item == wanted])
    missing = ~np.isin(key, has) & (wanted >= 0)
    # Of each user and series the last place.
    order = np.argsort(key[missing], kind="stable")
    chosen = np.flatnonzero(missing)[order]
    if not len(chosen):
        return
    last = np.append(key[chosen][1:] != key[chosen][:-1], True)
    chosen = chosen[last]
    pool[row[chosen], place[chosen]] = wanted[chosen]


def _in_order(pool: NDArray[np.int64], known: Known, metadata: Metadata) -> int:
    """Order each series' whole volumes above the highest one read among the places they have; return how many move."""
    row, place, item, series = _cells(pool, metadata)
    later = metadata.whole[item] & (metadata.volume[item] > known.highest[row, series])
    row, place, item, series = row[later], place[later], item[later], series[later]
    key = row * width_of(metadata.series) + series
    by_place, by_volume = np.lexsort((place, key)), np.lexsort((place, metadata.volume[item], key))
    before = item[by_place]
    after = item[by_volume]
    pool[row[by_place], place[by_place]] = after
    return int((before != after).sum())


@dataclass(frozen=True)
class _Columns:
    """Author, series and volume of the pool's items, (users, pool) each."""

    author: NDArray[np.int32]
    series: NDArray[np.int32]
    volume: NDArray[np.float32]


def _greedy(
    pool: NDArray[np.int64],
    known: Known,
    metadata: Metadata,
    rules: ShelfRules,
    moved: dict[str, int],
) -> NDArray[np.int64]:
    """Fill the first places one by one; what was held back follows them in its order."""
    valid = pool >= 0
    item = np.where(valid, pool, 0)
    columns = _Columns(
        np.where(valid, metadata.author[item], np.int32(NONE)),
        np.where(valid, metadata.series[item], np.int32(NONE)),
        metadata.volume[item],
    )
    left, held = valid.copy(), np.zeros(pool.shape, dtype=np.bool_)
    if rules.first_volume_first:
        held |= unread_later(pool, known, metadata)
        moved["first_volume_first"] += int(held[:, :TOP].sum())
    taken = np.full((len(pool), min(TOP, pool.shape[1])), -1, dtype=np.int64)
    for place in range(taken.shape[1]):
        free = left & ~held
        # Where rules leave nothing, the best of what they hold back.
        free |= left & ~free.any(axis=1, keepdims=True)
        rows = np.flatnonzero(free.any(axis=1))
        chosen = free[rows].argmax(axis=1)
        taken[rows, place] = chosen
        left[rows, chosen] = False
        held[rows] |= _now_held(rows, taken[rows, : place + 1], columns, rules, moved)
    return _behind(pool, taken, left)


def _behind(
    pool: NDArray[np.int64], taken: NDArray[np.int64], left: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the pool with the `taken` places first and what is `left` behind them, in its order."""
    first = np.where(taken >= 0, np.take_along_axis(pool, np.maximum(taken, 0), axis=1), -1)
    joined = np.concatenate([first, np.where(left, pool, -1)], axis=1)
    return _closed_up(joined)[:, : pool.shape[1]]


def _now_held(
    rows: NDArray[np.int64],
    taken: NDArray[np.int64],
    columns: _Columns,
    rules: ShelfRules,
    moved: dict[str, int],
) -> NDArray[np.bool_]:
    """Say what (rows, pool) may not follow within the first places, now that the last of `taken` (rows, k) is."""
    found = np.zeros((len(rows), columns.author.shape[1]), dtype=np.bool_)
    for name, cap, group in (
        ("most_of_an_author", rules.most_of_an_author, columns.author[rows]),
        ("most_of_a_series", rules.most_of_a_series, columns.series[rows]),
    ):
        if cap:
            so_far = np.take_along_axis(group, taken, axis=1)
            mine = so_far[:, -1:]
            full = (mine != NONE) & ((so_far == mine).sum(axis=1, keepdims=True) >= cap)
            found |= full & (group == mine)
            moved[name] += int(full.sum())
    if rules.volumes_in_order:
        series, volume, newest = columns.series[rows], columns.volume[rows], taken[:, -1:]
        mine = np.take_along_axis(series, newest, axis=1)
        lower = volume < np.take_along_axis(volume, newest, axis=1)
        found |= (mine != NONE) & (series == mine) & lower
    return found
