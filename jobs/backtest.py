"""Backtest: what the model would have been worth at past days, as a daily retrain meets it.

In: a release's rows in order of arrival, settings, cuts as shares of the rows. Out: `backtest.json` beside the release
and a table. Guarantees rolling origin: at each cut every ranking is fitted on what had arrived and asked for the next
slice; all are measured on the same users by the same code, and differences are paired.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from jobs.judgement import measured, slices
from jobs.judgement.bootstrap import Resampling
from jobs.judgement.measured import DEPTH, Measured
from jobs.judgement.ranked import Ids, Ranked
from jobs.judgement.settings import JudgementSettings
from jobs.model import ranking
from jobs.model.ranking import History
from jobs.model.settings import ModelSettings, as_mapping
from jobs.release import inputs
from jobs.release.folder import ReleaseFolder
from jobs.runtime.documents import read_arrow, read_table
from jobs.runtime.errors import BrokenInput, GateRefused
from jobs.runtime.files import write_json
from jobs.runtime.progress import progress
from schemas import tables

RECENT = "recent_popularity"
ALL_TIME = "all_time_popularity"

Ranker = Callable[[History], Ranked]


@dataclass(frozen=True)
class Rows:
    """A release's accepted rows in order of arrival and the ascending ids of its books."""

    interactions: pa.Table
    catalogue: Ids


def rows_of(folder: ReleaseFolder) -> Rows:
    """Return the rows of a release.

    Raises BrokenInput when extract has not finished, GateRefused when the rows are in no order of time.
    """
    if not inputs.read(folder)["time_ordered"]:
        raise GateRefused(
            "quality is not measurable: the source's rows are in no order of time",
            str(folder.inputs),
            "use a source whose rows tell when they came",
        )
    return read_rows(folder)


def read_rows(folder: ReleaseFolder) -> Rows:
    """Return the rows of a release, in order of time or not. Raises BrokenInput when extract has not finished."""
    books = read_table(folder.books, "extract", [tables.BOOK_ID])
    interactions = read_arrow(folder.interactions, "extract")
    return Rows(interactions, books[tables.BOOK_ID].to_numpy())


def rankers(model: ModelSettings, judgement: JudgementSettings) -> dict[str, Ranker]:
    """Return the model, under its engine's name, and the two popularity lists it has to beat."""
    recent = judgement.popularity_half_life_share
    return {
        model.engine: lambda past: ranking.by_model(past, model, DEPTH),
        RECENT: lambda past: ranking.by_popularity(past, recent, DEPTH),
        ALL_TIME: lambda past: ranking.by_popularity(past, math.inf, DEPTH),
    }


def cuts_at(
    rows: Rows, shares: tuple[float, ...], positive_from: int, width: float
) -> list[slices.Slice]:
    """Return the slices after each share of the rows that hold something to find.

    Raises BrokenInput when none does.
    """
    found = slices.at_shares(rows.interactions, rows.catalogue, shares, width, positive_from)
    cuts = [cut for cut in found if len(cut.case_ids)]
    if not cuts:
        raise BrokenInput(
            "there is no positive rating after any of the cuts",
            f"cuts at {shares} of {rows.interactions.num_rows} rows",
            "give more rows or other cuts",
        )
    return cuts


def roll(
    cuts: list[slices.Slice], rankings: dict[str, Ranker], description: str
) -> dict[str, list[Ranked]]:
    """Return each ranking's lists at each cut, fitted on the history of that cut alone."""
    lists: dict[str, list[Ranked]] = {name: [] for name in rankings}
    with progress(len(cuts) * len(rankings), description, "fit") as bar:
        for cut in cuts:
            past = ranking.history(cut.history, cut.catalogue)
            for name, ranker in rankings.items():
                lists[name].append(ranker(past))
                bar.update(1)
    return lists


def measure(
    cuts: list[slices.Slice], lists: dict[str, list[Ranked]], head_share: float
) -> dict[str, Measured]:
    """Return each ranking measured over all cuts."""
    return {name: measured.measure(cuts, listed, head_share) for name, listed in lists.items()}


@dataclass(frozen=True)
class Outcome:
    """NDCG@10 by ranking, and where everything stands."""

    release: str
    cuts: list[float]
    users: int
    ndcg_at_10: dict[str, float]
    less_recent_popularity: dict[str, float]
    report: str


def run(
    folder: ReleaseFolder, judgement: JudgementSettings, shares: tuple[float, ...]
) -> tuple[Outcome, str]:
    """Backtest the settings of a release; return the outcome and the table as text."""
    model = inputs.settings(folder)
    cuts = cuts_at(rows_of(folder), shares, model.positive_from, judgement.slice_share)
    lists = roll(cuts, rankers(model, judgement), "backtest")
    found = measure(cuts, lists, judgement.head_share)
    how = Resampling(judgement.samples, judgement.confidence, judgement.seed)
    described = measured.described(found, model.engine, how)
    target = folder.root / "backtest.json"
    content: dict[str, Any] = {
        "release": folder.release,
        "shares": shares,
        "settings": {"model": as_mapping(model), "judgement": asdict(judgement)},
        "slices": [
            {"history_rows": cut.history.num_rows, "rows": cut.rows, "users": len(cut.case_ids)}
            for cut in cuts
        ],
        "metrics": described,
    }
    write_json(target, content)
    outcome = Outcome(
        release=folder.release,
        cuts=list(shares),
        users=sum(len(cut.case_ids) for cut in cuts),
        ndcg_at_10={name: values["ndcg_at_10"]["value"] for name, values in described.items()},
        less_recent_popularity=described[RECENT]["less"]["ndcg_at_10"]["absolute"],
        report=str(target),
    )
    return outcome, table(described)


_COLUMNS = {
    "NDCG@10": "ndcg_at_10",
    "Recall@20": "recall_at_20",
    "MRR": "mrr",
    "coverage@10": "coverage_at_10",
    "tail share": "tail_share_at_10",
    "novelty": "novelty_at_10_bits",
    "Gini": "gini_at_10",
    "mean pop.": "mean_popularity_at_10",
}


def table(described: dict[str, Any]) -> str:
    """Return the metrics as a text table, a line a ranking; the last column is what the first has more."""
    head = f"{'ranking':26}" + "".join(f"{name:>24}" for name in _COLUMNS) + f"{'less':>28}"
    lines = [head]
    for name, values in described.items():
        cells = "".join(f"{_told(values[key]):>24}" for key in _COLUMNS.values())
        less = values.get("less")
        told = _told(less["ndcg_at_10"]["absolute"]) if less else ""
        lines.append(f"{name:26}{cells}{told:>28}")
    return "\n".join(lines)


def _told(value: dict[str, float]) -> str:
    digits = 4 if abs(value["value"]) < 1 else 1
    return f"{value['value']:.{digits}f} ({value['low']:.{digits}f} {value['high']:.{digits}f})"
