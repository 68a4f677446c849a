"""Backtest: what the model would have been worth at past days, as a daily retrain meets it.

In: a release's rows in order of arrival, settings, cuts as shares of the rows. Out: `backtest.json` beside the release
and a table. Guarantees rolling origin: at each cut every ranking is fitted on what had arrived and asked for the next
slice; all are measured on the same users by the same code, and differences are paired.
"""

from dataclasses import asdict, dataclass
from typing import Any

from jobs.evaluation import measured
from jobs.evaluation.bootstrap import Resampling
from jobs.evaluation.rolling_origin import RECENT, cuts_at, measure, rankers, roll, rows_of
from jobs.evaluation.settings import EvaluationSettings
from jobs.model.settings import as_mapping
from jobs.model.settings import of_release as settings_of
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.files import write_json


@dataclass(frozen=True)
class BacktestResult:
    """NDCG@10 by ranking, and where everything stands."""

    release: str
    cuts: list[float]
    users: int
    ndcg_at_10: dict[str, float]
    less_recent_popularity: dict[str, float]
    report: str


def run(
    folder: ReleaseFolder, settings: EvaluationSettings, shares: tuple[float, ...]
) -> tuple[BacktestResult, str]:
    """Backtest the settings of a release; return the outcome and the table as text."""
    model = settings_of(folder)
    rows = rows_of(folder)
    cuts = cuts_at(rows, shares, model.positive_from, settings.slice_share)
    lists = roll(cuts, rankers(rows, model, settings), "backtest")
    found = measure(cuts, lists, settings.head_share)
    how = Resampling(settings.samples, settings.confidence, settings.seed)
    described = measured.described(found, model.engine, how)
    target = folder.root / "backtest.json"
    content: dict[str, Any] = {
        "release": folder.release,
        "shares": shares,
        "settings": {"model": as_mapping(model), "judgement": asdict(settings)},
        "slices": [
            {"history_rows": cut.history.num_rows, "rows": cut.rows, "users": len(cut.case_ids)}
            for cut in cuts
        ],
        "metrics": described,
    }
    write_json(target, content)
    outcome = BacktestResult(
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
    """Return the metrics as a text table, a line a ranking; the last column is the difference of the first to it."""
    head = (
        f"{'ranking':26}"
        + "".join(f"{name:>24}" for name in _COLUMNS)
        + f"{'difference of the first':>28}"
    )
    lines = [head]
    for name, values in described.items():
        cells = "".join(f"{_interval(values[key]):>24}" for key in _COLUMNS.values())
        less = values.get("less")
        text = _interval(less["ndcg_at_10"]["absolute"]) if less else ""
        lines.append(f"{name:26}{cells}{text:>28}")
    return "\n".join(lines)


def _interval(value: dict[str, float]) -> str:
    digits = 4 if abs(value["value"]) < 1 else 1
    return f"{value['value']:.{digits}f} ({value['low']:.{digits}f} {value['high']:.{digits}f})"
