"""Metrics of ranked lists, one number a user.

In: lists (n, depth) of book ids and the relevant pairs. Out: float64 arrays (n,). Guarantees full ranking:
every book of the catalogue could take every place, nothing is sampled (Krichene and Rendle, KDD 2020). Checked against
ir-measures in tests/jobs/test_evaluate.py.
"""

import numpy as np

from jobs.evaluation.ranked import NO_BOOK, IdMatrix, Ids
from jobs.evaluation.slices import Counts, Keys, lookup, pack

Values = np.ndarray[tuple[int], np.dtype[np.float64]]
Hits = np.ndarray[tuple[int, int], np.dtype[np.bool_]]


def hits(user_ids: Ids, lists: IdMatrix, relevant: Keys) -> Hits:
    """Return for users (n,) and lists (n, depth) whether each place holds a relevant book.

    `relevant` holds ascending keys of `slices.pack`.
    """
    keys = pack(np.broadcast_to(user_ids[:, None], lists.shape), lists)
    if not len(relevant):
        return np.zeros(lists.shape, dtype=np.bool_)
    place = np.searchsorted(relevant, keys).clip(max=len(relevant) - 1)
    return np.asarray((relevant[place] == keys) & (lists != NO_BOOK))


def relevant_counts(user_ids: Ids, relevant: Keys) -> Counts:
    """Return how many relevant books each of `user_ids` (n,) has."""
    ids, counts = np.unique((relevant >> 32).astype(np.int32), return_counts=True)
    return lookup(ids, counts, user_ids)


def ndcg(hit: Hits, relevant: Counts, depth: int) -> Values:
    """Return the normalised discounted cumulative gain at `depth` with gain 1 a relevant book.

    Järvelin and Kekäläinen 2002 with discount log2(rank + 1); the ideal list holds min(relevant, depth) hits.
    Every user must have something relevant.
    """
    discount = 1 / np.log2(np.arange(2, depth + 2))
    ideal = np.cumsum(discount)[np.minimum(relevant, depth) - 1]
    shown = hit[:, :depth]
    return np.asarray((shown * discount[: shown.shape[1]]).sum(axis=1) / ideal)


def recall(hit: Hits, relevant: Counts, depth: int) -> Values:
    """Return the share of the relevant books that stand in the first `depth` places."""
    return np.asarray(hit[:, :depth].sum(axis=1) / relevant)


def reciprocal_rank(hit: Hits) -> Values:
    """Return 1 / rank of the first relevant book, 0 when the list holds none."""
    first = hit.argmax(axis=1)
    return np.where(hit.any(axis=1), 1 / (first + 1), 0.0)


def mean_of_books(lists: IdMatrix, book_ids: Ids, values: np.ndarray) -> Values:
    """Return the mean over a list's books of `values` (b,) of ascending `book_ids` (b,); 0 for an empty list."""
    shown = lists != NO_BOOK
    of_books = np.where(shown, _at(book_ids, values, lists), 0.0)
    return np.asarray(of_books.sum(axis=1) / np.maximum(shown.sum(axis=1), 1))


def _at(book_ids: Ids, values: np.ndarray, lists: IdMatrix) -> np.ndarray:
    place = np.searchsorted(book_ids, lists).clip(max=len(book_ids) - 1)
    return np.where(book_ids[place] == lists, values[place], 0.0)


def novelty(counts: Counts, users: int) -> np.ndarray:
    """Return -log2 of the share of `users` that rated each book (b,), in bits (Vargas and Castells 2011)."""
    return np.asarray(-np.log2(np.maximum(counts, 1) / max(users, 1)))


def exposure(lists: IdMatrix, book_ids: Ids) -> Counts:
    """Return how often each of the ascending `book_ids` (b,) stands in `lists`."""
    shown = lists[lists != NO_BOOK]
    place = np.searchsorted(book_ids, shown).clip(max=max(len(book_ids) - 1, 0))
    found = place[book_ids[place] == shown] if len(book_ids) else place[:0]
    return np.bincount(found, minlength=len(book_ids))


def coverage(counts: np.ndarray) -> Values:
    """Return the share of books shown at least once, over the last axis of exposure counts (..., b)."""
    return np.asarray((counts > 0).mean(axis=-1))


def gini(counts: np.ndarray) -> Values:
    """Return the Gini coefficient of exposure over the last axis (..., b): 0 all alike, near 1 a few get all."""
    ordered = np.sort(counts, axis=-1).astype(np.float64)
    books = ordered.shape[-1]
    weights = 2 * np.arange(1, books + 1) - books - 1
    total = ordered.sum(axis=-1)
    return np.asarray((ordered * weights).sum(axis=-1) / np.maximum(books * total, 1))


def tail(book_ids: Ids, counts: Counts, head_share: float) -> np.ndarray:
    """Return 1.0 for each book outside the `head_share` most rated ones (equal counts: lower id first)."""
    head = round(len(book_ids) * head_share)
    outside = np.ones(len(book_ids))
    outside[np.lexsort((book_ids, -counts))[:head]] = 0.0
    return outside


def broken(lists: IdMatrix, user_ids: Ids, read: Keys, full: Counts | int) -> dict[str, int]:
    """Return how many lists (n, depth) are shorter than `full` (n,), repeat a book, or hold one of the `read` pairs."""
    ordered = np.sort(lists, axis=1)
    repeats = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_BOOK)).any(axis=1)
    return {
        "short": int(((lists != NO_BOOK).sum(axis=1) < full).sum()),
        "repeats": int(repeats.sum()),
        "read": int(hits(user_ids, lists, read).any(axis=1).sum()),
    }
