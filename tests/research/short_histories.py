"""What a reader with little history gets: each rung on histories cut short, beside the model as shipped.

In: a Goodbooks folder (GOODBOOKS_DIR), the shipped settings. Out: a table a band of history lengths on standard output:
NDCG@10 and its paired difference to the model as shipped. The readers who read on after a cut keep only their newest
ratings, as many as drawn from the band, and the model is fitted without the others; rows, cuts and metric are those
of the backtest. Run it as `python -m tests.research.short_histories` (validation slices) or with `--test` (the
reported ones).
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.evaluation import bootstrap, ranking, rolling_origin, search
from jobs.evaluation.bootstrap import Resampling
from jobs.evaluation.measured import DEPTH, HISTORY_BANDS
from jobs.evaluation.ranked import Ranked
from jobs.evaluation.ranking import History
from jobs.evaluation.rolling_origin import Rows
from jobs.evaluation.slices import Slice
from jobs.model import popularity, scoring
from jobs.model.factors import fit
from schemas.tables import BOOK_ID, GENRES, USER_ID
from tests.research.goals import TEST_SHARES
from tests.research.tuning import JUDGEMENT, SETTINGS, prepared, source

SHIPPED = "as shipped"
#: Bands that reach further keep whole histories.
_LONGEST = 1000


def cut_short(cut: Slice, low: int, high: int, seed: int) -> Slice:
    """Return the slice with its readers' histories cut to their newest `low` to `high` ratings, as drawn.

    Readers with fewer ratings than drawn are left out, and so is what they read next.
    """
    if high > _LONGEST:  # the whole history
        wanted = np.maximum(cut.history_lengths, low)
    else:
        wanted = np.random.default_rng(seed).integers(low, high + 1, len(cut.case_ids))
    kept = cut.history_lengths >= wanted
    lengths = pl.DataFrame({USER_ID: cut.case_ids[kept], "wanted": wanted[kept]})
    rows = pl.DataFrame(pl.from_arrow(cut.history)).join(
        lengths, on=USER_ID, how="left", maintain_order="left"
    )
    newest = pl.int_range(pl.len()).reverse().over(USER_ID)
    rows = rows.filter(pl.col("wanted").is_null() | (newest < pl.col("wanted"))).drop("wanted")
    of_kept = np.isin((cut.relevant >> 32).astype(np.int32), cut.case_ids[kept])
    return replace(
        cut,
        history=rows.to_arrow().cast(cut.history.schema),
        case_ids=cut.case_ids[kept],
        history_lengths=wanted[kept],
        relevant=cut.relevant[of_kept],
    )


def rungs(genres: pl.DataFrame) -> dict[str, Callable[[History], dict[str, Ranked]]]:
    """Return makers of lists by name; `genres` are pairs of BOOK_ID and GENRES."""

    def popular(past: History) -> dict[str, Ranked]:
        share = SETTINGS.popularity_half_life_share
        return {"recent popularity": ranking.by_popularity(past, share, DEPTH)}

    def of_genres(past: History) -> dict[str, Ranked]:
        return {
            f"popularity in the reader's genres ** {exponent}": by_genre(past, genres, exponent)
            for exponent in (0.5, 1.0, 2.0)
        }

    def model(past: History) -> dict[str, Ranked]:
        vectors, _ = fit(past.rows, past.users, past.books, SETTINGS)
        found = {SHIPPED: ranking.by_vectors(past, vectors, SETTINGS, DEPTH)[0]}
        for exponent in (0.0, 0.15, 0.3, 0.6):
            settings = replace(SETTINGS, popularity_exponent=exponent)
            found[f"popularity exponent {exponent}"] = ranking.by_vectors(
                past, vectors, settings, DEPTH
            )[0]
        return found

    return {"model": model, "popular": popular, "genres": of_genres}


def by_genre(past: History, genres: pl.DataFrame, exponent: float) -> Ranked:
    """Return lists by recent popularity times (cosine of the genres of a book and those read) ** exponent."""
    known = genres.filter(pl.col(BOOK_ID).is_in(past.books.values.tolist()))
    codes = known[GENRES].rank("dense").to_numpy() - 1
    matrix = np.zeros((len(past.books.values), int(codes.max()) + 1), dtype=np.float32)
    matrix[past.books.positions(known[BOOK_ID].to_numpy()), codes] = 1
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1)
    readers: NDArray[np.float32] = past.rated @ matrix
    readers /= np.maximum(np.linalg.norm(readers, axis=1, keepdims=True), 1e-12)
    share = SETTINGS.popularity_half_life_share
    popular = popularity.weights(past.book_positions, len(past.books.values), share)
    lists = np.zeros((len(readers), DEPTH), dtype=np.int32)
    for start in range(0, len(readers), scoring.BLOCK):
        rows = slice(start, start + scoring.BLOCK)
        scores = (readers[rows] @ matrix.T) ** exponent * popular.astype(np.float32)
        rated = past.rated[rows]
        scores[np.repeat(np.arange(rated.shape[0]), np.diff(rated.indptr)), rated.indices] = -np.inf
        lists[rows] = past.books.values[scoring.select(scores, DEPTH)[0]]
    return Ranked(past.users.values, lists, ranking.everyone(popular, past, DEPTH))


def _given(lists: Ranked, _past: History) -> Ranked:
    return lists


def table(rows: Rows, genres: pl.DataFrame, shares: tuple[float, ...]) -> None:
    """Print NDCG@10 of every rung in every band."""
    how = Resampling(JUDGEMENT.samples, JUDGEMENT.confidence, JUDGEMENT.seed)
    width = JUDGEMENT.slice_share
    cuts = rolling_origin.cuts_at(rows, shares, SETTINGS.positive_from, width)
    for band, (low, high) in HISTORY_BANDS.items():
        short = [cut_short(cut, low, int(high), JUDGEMENT.seed) for cut in cuts]
        found: dict[str, list[np.ndarray]] = {}
        for cut in short:
            past = ranking.history(cut.history, cut.catalogue)
            one = search.Prepared(cut, past)
            for make in rungs(genres).values():
                for name, lists in make(past).items():
                    found.setdefault(name, []).append(search.ndcg_of(one, partial(_given, lists)))
        users = np.concatenate([cut.case_ids for cut in short])
        ours = np.concatenate(found[SHIPPED])
        print(f"\n{band} ratings, {len(users)} cases")
        for name, parts in found.items():
            ndcg = np.concatenate(parts)
            less = bootstrap.difference(users, ndcg, ours, how).absolute
            told = f"{less.value:+.4f} ({less.low:+.4f} to {less.high:+.4f})"
            print(f"{name:44}{ndcg.mean():9.4f}{told:>31}", flush=True)


def main() -> None:
    """Read the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test", action="store_true", help="at the reported cuts")
    shares = TEST_SHARES if parser.parse_args().test else search.VALIDATION_SHARES
    with prepared(source()) as folder:
        cards = pl.read_parquet(folder.books, columns=[BOOK_ID, GENRES])
        genres = cards.explode(GENRES).drop_nulls(GENRES)
        table(rolling_origin.rows_of(folder), genres, shares)


if __name__ == "__main__":
    main()
