"""The goals table: model and baselines at six past days, each with the settings that were best on earlier slices.

In: a Goodbooks folder (GOODBOOKS_DIR), the settings of the product, the kept trials (`tuning`). Out: every trial, a
table with paired intervals and the goals on standard output. Run it with `make backtest`.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jobs.evaluation import backtest, bootstrap, measured, ranking, rolling_origin
from jobs.evaluation.bootstrap import Resampling
from jobs.evaluation.measured import DEPTH, Measured
from jobs.evaluation.rolling_origin import Ranker
from jobs.runtime.artifacts import ReleaseFolder
from tests.research import tuning, variants
from tests.research.ablation import PLAIN
from tests.research.tuning import EASE, JUDGEMENT, SETTINGS

#: The name of the model as it ships.
MODEL = SETTINGS.engine
TEST_SHARES = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
#: The name of the other engine as it ships, for which there is no goal.
OTHER = EASE.engine
#: Goal: NDCG@10 at least so many times that of the baseline.
FACTORS = {"decayed_popularity": 1.6, "plain_als": 2.0, "all_time_popularity": 5.0}


def rankings() -> dict[str, Ranker]:
    """Return the model as it ships, and it and every baseline with the best of their trials; end without trials."""
    chosen, _ = tuning.chosen()
    missing = sorted(set(tuning.TUNED) - set(chosen))
    if missing:
        sys.exit(f"no trials of {', '.join(missing)}: run `python -m tests.research.tuning`")
    found: dict[str, Ranker] = {MODEL: lambda past: ranking.by_model(past, SETTINGS, DEPTH)}
    for name, values in chosen.items():
        found[name] = tuning.ranker(name, values)
    found[OTHER] = lambda past: ranking.by_model(past, EASE, DEPTH)
    return found


def table(folder: ReleaseFolder, only: list[str]) -> dict[str, Any]:
    """Print the table at the test cuts and the goals, of the model and those named; return all metrics."""
    rows = rolling_origin.rows_of(folder)
    cuts = rolling_origin.cuts_at(rows, TEST_SHARES, SETTINGS.positive_from, JUDGEMENT.slice_share)
    asked = {name: one for name, one in rankings().items() if name in {MODEL, *only}}
    lists = rolling_origin.roll(cuts, asked, "backtest")
    found = rolling_origin.measure(cuts, lists, JUDGEMENT.head_share)
    how = Resampling(JUDGEMENT.samples, JUDGEMENT.confidence, JUDGEMENT.seed)
    described = measured.described(found, MODEL, how)
    print(f"each the best of {tuning.chosen()[1]} trials, {MODEL} and {OTHER} as they ship")
    print(f"users with something to find: {sum(len(cut.case_ids) for cut in cuts)}")
    print(backtest.table(described))
    print("\nby length of history (NDCG@10)")
    for name, values in described.items():
        print(f"{name:26}", _bands(values["by_history"], "ndcg_at_10"))
    print("\nby popularity of the book (recall@20)")
    for name, values in described.items():
        print(f"{name:26}", _bands(values["by_popularity"], "recall_at_20"))
    print("\ngoals")
    for engine in (MODEL, OTHER):
        _factors(engine, found, how)
    for name in ("item_knn_in_time", "ease_in_time", OTHER):
        if name not in described:
            continue
        difference = described[name]["less"]["ndcg_at_10"]["absolute"]
        met = "met" if difference["low"] > 0 else "MISSED"
        goal = "no goal" if name == OTHER else f"goal low > 0: {met}"
        print(f"NDCG@10 less {name:26} {_told(difference):28} {goal}")
    for key in ("coverage_at_10", "tail_share_at_10") if "plain_als" in described else ():
        difference = described["plain_als"]["less"][key]["absolute"]
        met = "met" if difference["value"] >= 0 else "MISSED"
        print(f"{key} less plain_als {_told(difference):28} goal not below 0: {met}")
    return described


def _factors(engine: str, found: dict[str, Measured], how: Resampling) -> None:
    """Print how many times the NDCG@10 of each baseline with a goal an engine reaches."""
    for name, factor in FACTORS.items():
        if name not in found or engine not in found:
            continue
        ours, theirs = (found[one].per_case["ndcg_at_10"] for one in (engine, name))
        relative = bootstrap.difference(found[name].case_users, ours, theirs, how).relative
        if relative is None:
            continue
        told = f"{1 + relative.value:.2f} ({1 + relative.low:.2f} {1 + relative.high:.2f})"
        met = "met" if 1 + relative.value >= factor else "MISSED"
        print(f"NDCG@10 of {engine} relative to {name:22} {told:22} goal {factor}: {met}")


def cost(folder: ReleaseFolder, repeats: int = 3) -> float:
    """Print the time of both engines relative to plain ALS of the same size, and return that of the model.

    Plain ALS has as many factors and iterations, and its lists are made by the product's code too. By turns, since the
    speed of a machine drifts; the best of `repeats` of each.
    """
    rows = rolling_origin.rows_of(folder)
    past = ranking.history(rows.interactions, rows.catalogue)
    chosen = tuning.chosen()[0]["plain_als"]
    plain = replace(SETTINGS, **PLAIN, **chosen)  # type: ignore[arg-type]  # names of settings
    every: dict[str, Ranker] = {
        **rankings(),
        "plain_als": lambda past: variants.vectors_of_the_fit(past, plain),
    }
    names = ("plain_als", MODEL, OTHER)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    processor: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            began, used = time.perf_counter(), time.process_time()
            every[name](past)
            seconds[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - used)
    clock, work = (
        {name: float(np.min(one[name])) / float(np.min(one[names[0]])) for name in names}
        for one in (seconds, processor)
    )
    for name in names:
        goal = " goal 1.5" if name == MODEL else ""
        print(
            f"fit and lists of {name}: {min(seconds[name]):.2f} s, {clock[name]:.2f} of plain ALS by the clock{goal}, "
            f"{work[name]:.2f} in processor time"
        )
    return clock[MODEL]


def _bands(bands: dict[str, Any], key: str) -> str:
    return "  ".join(
        f"{name}: {_told(band[key]) if band[key] else '-'} n={band['cases']}"
        for name, band in bands.items()
    )


def _told(value: dict[str, float]) -> str:
    return f"{value['value']:+.4f} ({value['low']:+.4f} {value['high']:+.4f})"


def main() -> None:
    """Read the arguments and print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="also write all metrics as JSON")
    parser.add_argument("--only", nargs="*", help="these rankings beside the model; all without")
    parser.add_argument("--cost", action="store_true", help="only what a fit and its lists cost")
    arguments = parser.parse_args()
    if arguments.cost:
        with tuning.prepared(tuning.source()) as folder:
            cost(folder)
        return
    for lines in tuning.lines().values():
        print(*lines, sep="\n")
    with tuning.prepared(tuning.source()) as folder:
        described = table(folder, list(rankings()) if arguments.only is None else arguments.only)
        cost(folder)
    if arguments.out:
        arguments.out.write_text(json.dumps(described, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
