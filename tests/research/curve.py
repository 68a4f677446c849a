"""Why a goal of `goals` is missed: what the model reaches of each, by size, by cut and by length of history.

In: a Goodbooks folder (GOODBOOKS_DIR), the settings of the product, the kept trials (`tuning`). Out: on standard output
NDCG@10 at the test cuts, relative to plain ALS and all-time popularity and less EASE with time weights, with paired
intervals. Nothing is chosen by it. Run it as `python -m tests.research.curve`.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from jobs.evaluation import bootstrap, ranking, rolling_origin
from jobs.evaluation.bootstrap import Interval, Resampling
from jobs.evaluation.measured import DEPTH, HISTORY_BANDS, Measured
from jobs.evaluation.rolling_origin import Ranker
from jobs.runtime.artifacts import ReleaseFolder
from tests.research import tuning
from tests.research.goals import MODEL, TEST_SHARES, rankings
from tests.research.tuning import JUDGEMENT, SETTINGS

#: The baselines of the missed goals.
BESIDE = ("plain_als", "all_time_popularity", "ease_in_time")
FACTORS = (16, 32, 64, 128, 256)
_HOW = Resampling(JUDGEMENT.samples, JUDGEMENT.confidence, JUDGEMENT.seed)


def main() -> None:
    """Print the three tables."""
    with tuning.prepared(tuning.source()) as folder:
        found, cut_sizes = _measured(folder)
    print("\nby number of factors, everything else as shipped")
    everything = np.ones(sum(cut_sizes), dtype=bool)
    for factors in FACTORS:
        _line(f"{factors} factors", found, _name(factors), everything)
    print("\nby cut")
    for share, cases in zip(TEST_SHARES, _cuts(cut_sizes), strict=True):
        _line(f"after {share:.0%} of the rows", found, MODEL, cases)
    print("\nby length of history")
    lengths = found[MODEL].history_lengths
    for band, (least, most) in HISTORY_BANDS.items():
        _line(f"{band} ratings", found, MODEL, (least <= lengths) & (lengths <= most))


def _name(factors: int) -> str:
    return MODEL if factors == SETTINGS.factors else f"{factors} factors"


def _measured(folder: ReleaseFolder) -> tuple[dict[str, Measured], list[int]]:
    """Return what the model in all sizes and the baselines reach, and the number of cases of each cut."""
    every = rankings()
    asked = {name: every[name] for name in (MODEL, *BESIDE)}
    for factors in FACTORS:
        asked.setdefault(_name(factors), _sized(factors))
    rows = rolling_origin.rows_of(folder)
    cuts = rolling_origin.cuts_at(rows, TEST_SHARES, SETTINGS.positive_from, JUDGEMENT.slice_share)
    lists = rolling_origin.roll(cuts, asked, "curve")
    found = rolling_origin.measure(cuts, lists, JUDGEMENT.head_share)
    return found, [len(cut.case_ids) for cut in cuts]


def _sized(factors: int) -> Ranker:
    settings = replace(SETTINGS, factors=factors)
    return lambda past: ranking.by_model(past, settings, DEPTH)


def _cuts(cut_sizes: list[int]) -> Iterator[np.ndarray]:
    """Yield which cases are of each cut."""
    of_cut = np.repeat(np.arange(len(cut_sizes)), cut_sizes)
    for cut in range(len(cut_sizes)):
        yield of_cut == cut


def _line(what: str, found: dict[str, Measured], name: str, cases: np.ndarray) -> None:
    ours = found[name].per_case["ndcg_at_10"][cases]
    users = found[name].case_users[cases]
    told = [f"{what:24} {int(cases.sum()):5} cases, NDCG@10 {ours.mean():.4f}"]
    for other in BESIDE:
        theirs = found[other].per_case["ndcg_at_10"][cases]
        less = bootstrap.difference(users, ours, theirs, _HOW)
        if other == "ease_in_time":
            told.append(f"less {other} {_interval(less.absolute, '+.4f')}")
        elif less.relative is not None:
            one = replace(
                less.relative,
                value=1 + less.relative.value,
                low=1 + less.relative.low,
                high=1 + less.relative.high,
            )
            told.append(f"{_interval(one, '.2f')} times {other}")
    print("; ".join(told), flush=True)


def _interval(one: Interval, form: str) -> str:
    return f"{one.value:{form}} ({one.low:{form}} to {one.high:{form}})"


if __name__ == "__main__":
    main()
