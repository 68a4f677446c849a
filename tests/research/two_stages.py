"""The goals of the two stages: they, their parts and single engines at six past days, and the faults of their shelves.

In: a Goodbooks folder (GOODBOOKS_DIR), the settings that ship. Out: a table with paired intervals, the shelf faults of
all users' first ten, and the goals, on standard output. Part of `make backtest`.
"""

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from jobs.evaluation import backtest, measured, ranking, rolling_origin
from jobs.evaluation.bootstrap import Resampling
from jobs.evaluation.measured import DEPTH, TOP
from jobs.evaluation.ranked import NO_BOOK, Ranked
from jobs.evaluation.ranking import History
from jobs.evaluation.rolling_origin import Ranker, Rows
from jobs.evaluation.slices import Slice
from jobs.model import metadata
from jobs.model import settings as model_settings
from jobs.model.shelf import faults as shelf_faults
from jobs.model.shelf.history import Read
from jobs.model.two_stage import engine, lists
from jobs.model.two_stage.engine import Moments
from schemas import sources
from tests.research import tuning
from tests.research.goals import TEST_SHARES
from tests.research.tuning import EASE, JUDGEMENT
from tests.research.tuning import SETTINGS as ALS

SETTINGS = model_settings.load(None, sources.TWO_STAGE)
WITHOUT_RULES = "two_stage without rules"
STAGE_1 = "stage 1 alone, with rules"


def rankings(rows: Rows) -> dict[str, Ranker]:
    """Return the two stages, without shelf rules, without a ranker, and what they have to beat."""
    told = metadata.of_cards(rows.cards)
    moments = Moments(told, SETTINGS, engine.width_of(rows.interactions.num_rows, SETTINGS))
    return {
        sources.TWO_STAGE: lambda past: ranking.by_two_stages(past, moments, DEPTH),
        WITHOUT_RULES: lambda past: _variant(past, moments, rules=False, ranker=True),
        STAGE_1: lambda past: _variant(past, moments, rules=True, ranker=False),
        "als": lambda past: ranking.by_model(past, ALS, DEPTH),
        "ease": lambda past: ranking.by_model(past, EASE, DEPTH),
        **{
            name: one
            for name, one in rolling_origin.rankers(rows, ALS, JUDGEMENT).items()
            if name != ALS.engine
        },
    }


def _variant(past: History, moments: Moments, *, rules: bool, ranker: bool) -> Ranked:
    """Return the lists of the same fits without the shelf rules, or without the ranker."""
    rows = ranking.rows_of(past)
    taught = moments.taught(rows, len(past.ratings))
    fitted, users = moments.generators(rows, len(past.ratings))
    settings = SETTINGS if rules else replace(SETTINGS, rules=None)
    found = lists.best(
        replace(fitted, settings=settings),
        taught.ranker if ranker else None,
        np.arange(len(users.values)),
        DEPTH,
    )
    return ranking.ranked_of(past, found.personal.found, fitted.popular, DEPTH)


def faults(rows: Rows, cuts: list[Slice], listed: list[Ranked]) -> dict[str, float]:
    """Return the share of all users' first ten that break each rule, mean over the cuts."""
    told, rules = metadata.of_cards(rows.cards), SETTINGS.rules
    assert rules is not None
    found: dict[str, list[float]] = {}
    for cut, one in zip(cuts, listed, strict=True):
        past = ranking.history(cut.history, cut.catalogue)
        top = one.book_ids[:, :TOP]
        items = np.where(top == NO_BOOK, -1, np.searchsorted(cut.catalogue, top))
        pairs = past.pairs
        read = Read(np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.starts)), pairs.books)
        counted = shelf_faults.count(items, read, told, rules)
        for name, values in counted.by_rule.items():
            found.setdefault(name, []).append(float(values.mean()))
        found.setdefault("later volumes without an earlier one read", []).append(
            counted.unread_later_share
        )
    return {name: float(np.mean(values)) for name, values in found.items()}


def goals(described: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return each goal: what it is of, the value, and what it has to reach."""
    ours = described[sources.TWO_STAGE]

    def value(name: str) -> float:
        return float(described[name]["ndcg_at_10"]["value"])

    return [
        ("NDCG@10", value(sources.TWO_STAGE), 0.140),
        ("NDCG@10 relative to itself without rules", value(sources.TWO_STAGE) / value(WITHOUT_RULES), 0.975),
        ("NDCG@10 relative to recent popularity", value(sources.TWO_STAGE) / value("recent_popularity"), 3.0),
        ("NDCG@10 relative to all-time popularity", value(sources.TWO_STAGE) / value("all_time_popularity"), 8.0),
        ("NDCG@10 less ease, lower bound", described["ease"]["less"]["ndcg_at_10"]["absolute"]["low"], 0.04),
        ("coverage@10", ours["coverage_at_10"]["value"], 0.25),
    ]  # fmt: skip


def main() -> None:
    """Print everything; exit with 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at", type=float, nargs="*", default=TEST_SHARES, help="cuts, as shares")
    arguments = parser.parse_args()
    with tuning.prepared(tuning.source()) as folder:
        rows = rolling_origin.rows_of(folder)
    cuts = rolling_origin.cuts_at(
        rows, tuple(arguments.at), SETTINGS.positive_from, JUDGEMENT.slice_share
    )
    listed = rolling_origin.roll(cuts, rankings(rows), "two stages")
    found = rolling_origin.measure(cuts, listed, JUDGEMENT.head_share)
    how = Resampling(JUDGEMENT.samples, JUDGEMENT.confidence, JUDGEMENT.seed)
    described = measured.described(found, sources.TWO_STAGE, how)
    print(f"users with something to find: {sum(len(cut.case_ids) for cut in cuts)}")
    print(backtest.table(described))
    for name in (sources.TWO_STAGE, WITHOUT_RULES, "als"):
        told = faults(rows, cuts, listed[name])
        print(f"\nfirst ten of all users by {name}:")
        print(*(f"  {rule}: {share:.2%}" for rule, share in told.items()), sep="\n")
    print("\ngoals")
    missed = 0
    for what, reached, goal in goals(described):
        missed += reached < goal
        print(f"{what}: {reached:.4f}, goal {goal}: {'met' if reached >= goal else 'MISSED'}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
