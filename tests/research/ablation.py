"""What each part of the method brings: one thing changed at a time, on the validation slices.

In: a Goodbooks folder (GOODBOOKS_DIR), the shipped settings. Out: a table on standard output: NDCG@10 of the variant,
the paired difference to the model as shipped with its interval, processor time of fits and lists relative to it.
Guarantees that no row after 70 % of the rows is seen. A variant's other settings are not tuned anew. Run it as
`python -m tests.research.ablation`.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl

from jobs.evaluation import bootstrap, ranking, rolling_origin, search
from jobs.evaluation.bootstrap import Resampling
from jobs.evaluation.measured import DEPTH
from jobs.evaluation.ranked import Ranked
from jobs.evaluation.ranking import History
from tests.research import variants
from tests.research.tuning import JUDGEMENT, SETTINGS, prepared, source

FULL = "as shipped"
#: Five times as many slices as are tuned on, up to 70 % of the rows: intervals half as wide.
DENSE = tuple(percent / 100 for percent in range(45, 70))
#: What the search that found the shipped settings found, too, and what was dropped.
AGE = {"confidence_half_life_share": 0.341}
LOW = {"low_weight": 0.0853}
PLAIN = {
    "confidence_half_life_share": np.inf,
    "neutral_weight": 0.0,
    "low_weight": 0.0,
    "popularity_exponent": 0.0,
}


def _changed(**values: float) -> rolling_origin.Ranker:
    settings = replace(SETTINGS, **values)  # type: ignore[arg-type]  # the names are those of settings
    return lambda past: ranking.by_model(past, settings, DEPTH)


def changes(wishes: pl.DataFrame) -> dict[str, Callable[[History], Ranked]]:
    """Return every variant by what it does; `wishes` are the pairs of to_read.csv."""
    plain = replace(SETTINGS, **PLAIN)  # type: ignore[arg-type]
    found: dict[str, Callable[[History], Ranked]] = {
        FULL: _changed(),
        "with age of a rating": _changed(**AGE),
        "with ratings of 1 and 2": _changed(**LOW),
        "with both": _changed(**AGE, **LOW),
        "without ratings of 3": _changed(neutral_weight=0.0),
        "ratings of 3 as good as 4 and 5": _changed(neutral_weight=1.0),
        "readers' vectors of the fit": lambda past: variants.vectors_of_the_fit(past, SETTINGS),
        "readers' vectors, last books like the others": _changed(profile_half_life_books=np.inf),
        "without recent popularity": _changed(popularity_exponent=0.0),
        "only readers' vectors": _changed(**PLAIN),
        "none of it": lambda past: variants.vectors_of_the_fit(past, plain),
    }
    for exponent in (0.04, 0.0768, 0.3, 0.6):
        found[f"popularity exponent {exponent}"] = _changed(popularity_exponent=exponent)
    for factors in (16, 32, 128, 256):
        found[f"{factors} factors"] = _changed(factors=factors)
    for iterations in (4, 8, 24):
        found[f"{iterations} iterations"] = _changed(iterations=iterations)
    for exponent in (0.25, 0.5, 1.0):
        found[f"regularisation by frequency ** {exponent}"] = partial(
            variants.frequency_scaled, settings=SETTINGS, exponent=exponent
        )
    for weight in (0.02, 0.1, 0.3):
        found[f"to_read as {weight} of a positive"] = partial(
            variants.with_wishes, settings=SETTINGS, wishes=wishes, weight=weight
        )
    for share in (0.1, 0.25, 0.5):
        found[f"{share} of the score from neighbours of the last books"] = partial(
            variants.with_neighbours, settings=SETTINGS, share=share
        )
    return found


def table(slices: list[search.Prepared], among: dict[str, Callable[[History], Ranked]]) -> None:
    """Print a line a variant; the first is what the others are compared with."""
    how = Resampling(JUDGEMENT.samples, JUDGEMENT.confidence, JUDGEMENT.seed)
    users = np.concatenate([one.cut.case_ids for one in slices])
    print(f"{'variant':52}{'NDCG@10':>9}{'less ' + FULL:>31}{'time':>7}", flush=True)
    first: tuple[np.ndarray, float] | None = None
    for name, ranker in among.items():
        began = time.process_time()
        ndcg = np.concatenate([search.ndcg_of(one, ranker) for one in slices])
        seconds = time.process_time() - began
        first = first or (ndcg, seconds)
        less = bootstrap.difference(users, ndcg, first[0], how).absolute
        told = f"{less.value:+.4f} ({less.low:+.4f} to {less.high:+.4f})"
        print(f"{name:52}{ndcg.mean():9.4f}{told:>31}{seconds / first[1]:7.2f}", flush=True)


def main() -> None:
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="variants with one of these words")
    parser.add_argument("--dense", action="store_true", help="every percent from 45 to 69 %")
    arguments = parser.parse_args()
    words = arguments.only
    with prepared(source()) as folder:
        rows = rolling_origin.rows_of(folder)
        shares = DENSE if arguments.dense else search.VALIDATION_SHARES
        slices = search.prepare(rows, SETTINGS.positive_from, JUDGEMENT.slice_share, shares)
        among = changes(pl.read_parquet(folder.to_read))
        table(
            slices,
            {
                name: ranker
                for name, ranker in among.items()
                if name == FULL or words is None or any(word in name for word in words)
            },
        )


if __name__ == "__main__":
    main()
