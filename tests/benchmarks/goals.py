"""The goals table: model and baselines at six past days, each tuned on earlier slices with the same number of trials.

In: a Goodbooks folder (GOODBOOKS_DIR), the settings of the product, `baselines/chosen.json`. Out: a table with paired
intervals on standard output. With `--trials N` it first tunes every baseline anew, prints every trial and writes
`chosen.json`. Run it with `make backtest`.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from jobs import backtest, extract, replay, tune
from jobs.backtest import MODEL, Ranker
from jobs.judgement import measured
from jobs.judgement import settings as judgement_settings
from jobs.judgement.bootstrap import Resampling
from jobs.judgement.measured import DEPTH
from jobs.model import ranking
from jobs.model import settings as model_settings
from jobs.release.folder import Artifacts, ReleaseFolder
from tests.benchmarks.baselines.all_of_them import BASELINES, Baseline

CHOSEN = Path(__file__).parent / "baselines" / "chosen.json"
TEST_SHARES = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
JUDGEMENT = judgement_settings.load()
SETTINGS = model_settings.load(None)
#: Goal: NDCG@10 at least so many times that of the baseline.
FACTORS = {"decayed_popularity": 1.6, "plain_als": 2.0, "all_time_popularity": 5.0}
_FIRST_DAY = date(2026, 1, 1)


@contextmanager
def prepared(source: Path, days: int = 100) -> Iterator[ReleaseFolder]:
    """Give a release with the rows of a Goodbooks folder, in a temporary folder."""
    with tempfile.TemporaryDirectory() as temporary:
        artifacts = Artifacts(Path(temporary))
        last = _FIRST_DAY + timedelta(days=days - 1)
        replay.run(source, artifacts.drops, _FIRST_DAY, last)
        extracted = extract.run(
            artifacts.drops,
            artifacts.releases,
            last.isoformat(),
            SETTINGS,
            max_reject_share=0.05,
            run_by="goals",
        )
        yield artifacts.release(extracted.release)


def _ranker(baseline: Baseline, values: dict[str, float]) -> Ranker:
    return lambda past: baseline.lists(past, values)


def tuned(folder: ReleaseFolder, trials: int, storage: Path, only: list[str]) -> dict[str, Any]:
    """Tune the baselines on the validation slices, print every trial, return and keep what was chosen."""
    slices = tune.prepare(backtest.rows_of(folder), SETTINGS.positive_from, JUDGEMENT.slice_share)
    chosen: dict[str, Any] = json.loads(CHOSEN.read_text()) if CHOSEN.is_file() else {}
    for name, baseline in BASELINES.items():
        if only and name not in only:
            continue
        if not baseline.space:
            chosen[name] = {"values": {}, "trials": 0}
            continue
        study = tune.search(
            slices,
            baseline.space,
            lambda values, baseline=baseline: _ranker(baseline, values),  # type: ignore[misc]
            trials=trials,
            storage=storage / f"{name}.journal",
            name=name,
            seed=JUDGEMENT.seed,
        )
        for trial in study.trials:
            print(name, trial.number, trial.state.name, trial.value, json.dumps(trial.params))
        chosen[name] = {
            "values": {key: float(f"{value:.3g}") for key, value in study.best_params.items()},
            "trials": len(study.trials),
            "validation_ndcg_at_10": round(float(study.best_value), 5),
        }
        CHOSEN.write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")
    return chosen


def rankings(chosen: dict[str, Any]) -> dict[str, Ranker]:
    """Return the model and every baseline with what was chosen for it."""
    found: dict[str, Ranker] = {MODEL: lambda past: ranking.by_model(past, SETTINGS, DEPTH)}
    for name, one in chosen.items():
        found[name] = _ranker(BASELINES[name], one["values"])
    return found


def table(folder: ReleaseFolder, chosen: dict[str, Any]) -> dict[str, Any]:
    """Print the table at the test cuts and the goals; return all metrics."""
    rows = backtest.rows_of(folder)
    cuts = backtest.cuts_at(rows, TEST_SHARES, SETTINGS.positive_from, JUDGEMENT.slice_share)
    lists = backtest.roll(cuts, rankings(chosen), "backtest")
    found = backtest.measure(cuts, lists, JUDGEMENT.head_share)
    how = Resampling(JUDGEMENT.samples, JUDGEMENT.confidence, JUDGEMENT.seed)
    described = measured.described(found, MODEL, how)
    print(f"users with something to find: {sum(len(cut.case_ids) for cut in cuts)}")
    print(backtest.table(described))
    print("\nby length of history (NDCG@10)")
    for name, values in described.items():
        print(f"{name:26}", _bands(values["by_history"], "ndcg_at_10"))
    print("\nby popularity of the book (recall@20)")
    for name, values in described.items():
        print(f"{name:26}", _bands(values["by_popularity"], "recall_at_20"))
    print("\ngoals")
    ours = described[MODEL]["ndcg_at_10"]["value"]
    for name, factor in FACTORS.items():
        relative = described[name]["less"]["ndcg_at_10"]["relative"]
        told = f"{1 + relative['value']:.2f} ({1 + relative['low']:.2f} {1 + relative['high']:.2f})"
        met = "met" if ours >= factor * described[name]["ndcg_at_10"]["value"] else "MISSED"
        print(f"NDCG@10 relative to {name:26} {told:22} goal {factor}: {met}")
    for name in ("item_knn_in_time", "ease_in_time", *_blended(described)):
        difference = described[name]["less"]["ndcg_at_10"]["absolute"]
        met = "met" if difference["low"] > 0 else "MISSED"
        goal = "no goal" if name.endswith("blended") else f"goal low > 0: {met}"
        print(f"NDCG@10 less {name:26} {_told(difference):28} {goal}")
    for key in ("coverage_at_10", "tail_share_at_10"):
        difference = described["plain_als"]["less"][key]["absolute"]
        met = "met" if difference["value"] >= 0 else "MISSED"
        print(f"{key} less plain_als {_told(difference):28} goal not below 0: {met}")
    return described


def cost(folder: ReleaseFolder, chosen: dict[str, Any], repeats: int = 3) -> float:
    """Print and return the time of the model's fit relative to plain ALS of the same size, best of `repeats`."""
    rows = backtest.rows_of(folder)
    past = ranking.history(rows.interactions, rows.catalogue)
    plain, ours = (
        _ranker(BASELINES["plain_als"], chosen["plain_als"]["values"]),
        rankings({})[MODEL],
    )
    times = {
        name: _best(ranker, past, repeats) for name, ranker in (("ours", ours), ("plain", plain))
    }
    ratio = times["ours"] / times["plain"]
    print(
        f"fit and lists: {times['ours']:.2f} s, plain ALS {times['plain']:.2f} s, {ratio:.2f} goal 1.5"
    )
    return ratio


def _best(ranker: Ranker, past: ranking.History, repeats: int) -> float:
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        ranker(past)
        found.append(time.perf_counter() - began)
    return float(np.min(found))


def _blended(described: dict[str, Any]) -> list[str]:
    return [name for name in described if name.endswith("blended")]


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
    parser.add_argument("--trials", type=int, default=0, help="tune the baselines anew")
    parser.add_argument("--only", nargs="*", default=[], help="baselines to tune")
    parser.add_argument("--studies", type=Path, default=Path("artifacts/tuning"))
    parser.add_argument("--out", type=Path, help="also write all metrics as JSON")
    arguments = parser.parse_args()
    source = os.environ.get("GOODBOOKS_DIR")
    if not source:
        sys.exit("set GOODBOOKS_DIR to a Goodbooks folder whose rows are in order of time")
    with prepared(Path(source)) as folder:
        if arguments.trials:
            tuned(folder, arguments.trials, arguments.studies, arguments.only)
        chosen = json.loads(CHOSEN.read_text(encoding="utf-8"))
        described = table(folder, chosen)
        cost(folder, chosen)
        if arguments.out:
            arguments.out.write_text(json.dumps(described, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
