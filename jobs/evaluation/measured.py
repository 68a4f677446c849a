"""All metrics of several rankings over several cuts, with intervals and paired differences.

In: slices, and each ranking's lists at each of them. Out: nested dicts for `evaluation.json` and tables. Guarantees
that every ranking is measured by the same code on the same users, resampled alike.

A case is a user with something relevant in a slice. NDCG, recall and reciprocal rank are means over cases; coverage,
Gini, tail share, novelty and mean popularity are those of the lists of all users known at a cut, mean over cuts.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from jobs.evaluation import bootstrap, metrics
from jobs.evaluation.bootstrap import Resampling
from jobs.evaluation.ranked import NO_BOOK, IdMatrix, Ids, Ranked
from jobs.evaluation.slices import Slice, lookup

TOP = 10
RECALL_DEPTH = 20
#: How deep lists are asked for; the reciprocal rank of a book below is 0.
DEPTH = 100
#: Resamples of coverage and Gini, which need the books of every list each time.
_EXPOSURE_SAMPLES = 200

HISTORY_BANDS = {
    "0": (0, 0),
    "1-4": (1, 4),
    "5-19": (5, 19),
    "20-99": (20, 99),
    "100+": (100, 1e18),
}
#: Bands of books by their place in the order of ratings before the cut, as shares of the books.
POPULARITY_BANDS = {"head": (0.0, 0.05), "middle": (0.05, 0.2), "tail": (0.2, 1.0)}
NEW_BOOKS = "new"
PER_CASE = ("ndcg_at_10", "recall_at_20", "mrr")
PER_LIST = ("tail_share_at_10", "novelty_at_10_bits", "mean_popularity_at_10")
EXPOSURE = ("coverage_at_10", "gini_at_10")


@dataclass(frozen=True)
class Measured:
    """One ranking: metrics a case, the users of the cases, metrics a list, and how often books are shown."""

    case_users: Ids
    history_lengths: np.ndarray
    per_case: dict[str, metrics.Values]
    by_book: dict[str, tuple[np.ndarray, np.ndarray]]
    list_users: list[Ids]
    per_list: dict[str, metrics.Values]
    shown: list[sp.csr_matrix]
    broken: dict[str, int]


def measure(cuts: list[Slice], rankings: list[Ranked], head_share: float) -> Measured:
    """Return what one ranking, given by its lists at each cut, is worth."""
    parts = [_case_metrics(cut, ranking) for cut, ranking in zip(cuts, rankings, strict=True)]
    lists = [
        _list_metrics(cut, ranking, head_share) for cut, ranking in zip(cuts, rankings, strict=True)
    ]
    broken = [_broken(cut, ranking) for cut, ranking in zip(cuts, rankings, strict=True)]
    bands = [_recall_by_book(cut, ranking) for cut, ranking in zip(cuts, rankings, strict=True)]
    return Measured(
        case_users=np.concatenate([cut.case_ids for cut in cuts]),
        history_lengths=np.concatenate([cut.history_lengths for cut in cuts]),
        per_case={name: np.concatenate([part[name] for part in parts]) for name in PER_CASE},
        by_book={
            name: (
                np.concatenate([band[name][0] for band in bands]),
                np.concatenate([band[name][1] for band in bands]),
            )
            for name in bands[0]
        },
        list_users=[ranking.user_ids for ranking in rankings],
        per_list={name: np.concatenate([part[name] for part in lists]) for name in PER_LIST},
        shown=[
            _incidence(ranking.book_ids[:, :TOP], cut.catalogue)
            for cut, ranking in zip(cuts, rankings, strict=True)
        ],
        broken={name: sum(part[name] for part in broken) for name in broken[0]},
    )


def described(found: dict[str, Measured], first: str, how: Resampling) -> dict[str, Any]:
    """Return all metrics of all rankings as dicts of intervals, and under `less` what `first` has more than each."""
    exposures = {name: _resampled_exposure(one, how) for name, one in found.items()}
    values = {name: _values(one, exposures[name], how) for name, one in found.items()}
    for name, one in found.items():
        if name != first:
            spread = {key: exposures[first][key] - exposures[name][key] for key in EXPOSURE}
            values[name]["less"] = less(found[first], one, spread, how)
    return values


def _values(one: Measured, exposure: dict[str, np.ndarray], how: Resampling) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: asdict(bootstrap.mean(one.case_users, one.per_case[name], how)) for name in PER_CASE
    }
    list_users = np.concatenate(one.list_users)
    for name in PER_LIST:
        values[name] = asdict(bootstrap.mean(list_users, one.per_list[name], how))
    for name in EXPOSURE:
        value = exposure_of(one)[name]
        values[name] = asdict(bootstrap.centred(value, exposure[name], how.confidence))
    values["broken_lists"] = one.broken
    values["by_history"] = _by_history(one, how)
    values["by_popularity"] = {
        name: {"cases": len(band), "recall_at_20": asdict(bootstrap.mean(band, found, how))}
        if len(band)
        else {"cases": 0, "recall_at_20": None}
        for name, (band, found) in one.by_book.items()
    }
    return values


def less(
    ours: Measured, theirs: Measured, spread: dict[str, np.ndarray], how: Resampling
) -> dict[str, Any]:
    """Return the paired differences, ours less theirs, of every metric.

    `spread` holds the resampled differences (samples,) of the metrics of exposure.
    """
    list_users = np.concatenate(ours.list_users)
    found: dict[str, Any] = {}
    for name in (*PER_CASE, *PER_LIST):
        users, own, other = (
            (ours.case_users, ours.per_case[name], theirs.per_case[name])
            if name in PER_CASE
            else (list_users, ours.per_list[name], theirs.per_list[name])
        )
        found[name] = asdict(bootstrap.difference(users, own, other, how))
    for name in EXPOSURE:
        value = exposure_of(ours)[name] - exposure_of(theirs)[name]
        found[name] = {"absolute": asdict(bootstrap.centred(value, spread[name], how.confidence))}
    found["by_history"] = {
        band: {
            name: _less(
                ours.case_users[inside],
                ours.per_case[name][inside],
                theirs.per_case[name][inside],
                how,
            )
            for name in PER_CASE
        }
        for band, inside in _bands_of(ours).items()
    }
    found["by_popularity"] = {
        band: {"recall_at_20": _less(users, own, theirs.by_book[band][1], how)}
        for band, (users, own) in ours.by_book.items()
    }
    return found


def _less(
    users: Ids, ours: metrics.Values, theirs: metrics.Values, how: Resampling
) -> dict[str, Any] | None:
    """Return the paired difference over the cases, None without any."""
    if not len(users):
        return None
    return asdict(bootstrap.difference(users, ours, theirs, how))


def exposure_of(one: Measured) -> dict[str, float]:
    """Return coverage@10 and the Gini coefficient of exposure, mean over the cuts."""
    counts = [np.asarray(shown.sum(axis=0)).ravel() for shown in one.shown]
    return {
        "coverage_at_10": float(np.mean([metrics.coverage(c) for c in counts])),
        "gini_at_10": float(np.mean([metrics.gini(c) for c in counts])),
    }


def _case_metrics(cut: Slice, ranking: Ranked) -> dict[str, metrics.Values]:
    hit = metrics.hits(cut.case_ids, ranking.of(cut.case_ids), cut.relevant)
    wanted = metrics.relevant_counts(cut.case_ids, cut.relevant)
    return {
        "ndcg_at_10": metrics.ndcg(hit, wanted, TOP),
        "recall_at_20": metrics.recall(hit, wanted, RECALL_DEPTH),
        "mrr": metrics.reciprocal_rank(hit),
    }


def _list_metrics(cut: Slice, ranking: Ranked, head_share: float) -> dict[str, metrics.Values]:
    top, books = ranking.book_ids[:, :TOP], cut.catalogue
    counts = lookup(cut.book_ids, cut.book_counts, books)
    return {
        "tail_share_at_10": metrics.mean_of_books(
            top, books, metrics.tail(books, counts, head_share)
        ),
        "novelty_at_10_bits": metrics.mean_of_books(
            top, books, metrics.novelty(counts, cut.known_users)
        ),
        "mean_popularity_at_10": metrics.mean_of_books(top, books, counts.astype(np.float64)),
    }


def _recall_by_book(cut: Slice, ranking: Ranked) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return per band of books (users, recall@20 of the relevant books in that band)."""
    users = (cut.relevant >> 32).astype(np.int32)
    books = (cut.relevant & 0xFFFFFFFF).astype(np.int32)
    order = np.lexsort((cut.book_ids, -cut.book_counts))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    rank = lookup(cut.book_ids, place + 1, books) / max(len(order), 1)
    bands = {name: (rank > low) & (rank <= high) for name, (low, high) in POPULARITY_BANDS.items()}
    bands[NEW_BOOKS] = rank == 0
    found = {}
    for name, inside in bands.items():
        relevant, ids = cut.relevant[inside], np.unique(users[inside])
        hit = metrics.hits(ids, ranking.of(ids), relevant)
        wanted = metrics.relevant_counts(ids, relevant)
        found[name] = (ids, metrics.recall(hit, wanted, RECALL_DEPTH))
    return found


def _incidence(top: IdMatrix, books: Ids) -> sp.csr_matrix:
    rows, _ = shown = np.nonzero(top != NO_BOOK)
    columns = np.searchsorted(books, top[shown])
    ones = np.ones(len(rows))
    return sp.csr_matrix((ones, (rows, columns)), shape=(len(top), len(books)))


def _broken(cut: Slice, ranking: Ranked) -> dict[str, int]:
    # A list may be short only where the catalogue runs out for its user.
    left = len(cut.catalogue) - metrics.relevant_counts(ranking.user_ids, cut.read)
    return metrics.broken(ranking.book_ids, ranking.user_ids, cut.read, np.minimum(TOP, left))


def _resampled_exposure(one: Measured, how: Resampling) -> dict[str, np.ndarray]:
    fewer = Resampling(min(how.samples, _EXPOSURE_SAMPLES), how.confidence, how.seed)
    blocks = [
        {
            "coverage_at_10": np.mean([metrics.coverage(c) for c in counts], axis=0),
            "gini_at_10": np.mean([metrics.gini(c) for c in counts], axis=0),
        }
        for counts in bootstrap.exposures(one.list_users, one.shown, fewer)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in EXPOSURE}


def _by_history(one: Measured, how: Resampling) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for band, inside in _bands_of(one).items():
        users = one.case_users[inside]
        found[band] = {"cases": int(inside.sum())} | {
            name: asdict(bootstrap.mean(users, one.per_case[name][inside], how))
            if len(users)
            else None
            for name in PER_CASE
        }
    return found


def _bands_of(one: Measured) -> dict[str, np.ndarray]:
    """Return for each band of history lengths which cases (cases,) are in it."""
    lengths = one.history_lengths
    return {
        name: (lengths >= low) & (lengths <= high) for name, (low, high) in HISTORY_BANDS.items()
    }
