"""The evaluation of a release as tables for people.

In: `evaluation.json` and `decision.json` of a release. Out: rows of text. Guarantees that every number stands with its
interval.
"""

from dataclasses import dataclass
from typing import Any

from jobs.evaluation.measured import HISTORY_BANDS, NEW_BOOKS, POPULARITY_BANDS
from jobs.model.settings import SHIPPED as ENGINES
from jobs.release import decision
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.documents import broken, read_document

#: Kind of mark and word of each verdict, for `mark` in parts.html.
MARKS = {
    "go": ("good", "Go"),
    "hold": ("broken", "Hold"),
    "stop": ("bad", "Stop"),
}
NAMES = {
    **dict.fromkeys(ENGINES, "This model"),
    "recent_popularity": "Recent popularity",
    "all_time_popularity": "All-time popularity",
}
METRICS = {
    "ndcg_at_10": (
        "NDCG@10",
        "how much of what was read next is in the top 10, early places first",
    ),
    "recall_at_20": ("Recall@20", "share of what was read next that is in the top 20"),
    "mrr": ("Reciprocal rank", "1 / place of the first book that was read next"),
    "coverage_at_10": ("Coverage@10", "share of all books in at least one top 10"),
    "tail_share_at_10": ("Tail share", "share of top-10 places for books outside the most rated"),
    "novelty_at_10_bits": ("Novelty (bits)", "how rarely read the books of a top 10 are"),
    "gini_at_10": ("Gini of exposure", "0: every book is shown alike, 1: a few get all places"),
    "mean_popularity_at_10": ("Mean popularity", "mean number of ratings of the books of a top 10"),
}


@dataclass(frozen=True)
class Table:
    """A table of text: `rows` start with their head."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Evaluated:
    """What the page shows of a release's evaluation; tables are empty where nothing could be measured."""

    verdict: str
    reasons: list[dict[str, Any]]
    reference: str | None
    comparison: list[tuple[str, str]]
    slices: list[dict[str, Any]]
    users: int
    engine: str | None
    metrics: Table | None
    less: Table | None
    bands: tuple[Table, ...]
    meanings: list[tuple[str, str]]


def evaluated(folder: ReleaseFolder) -> Evaluated:
    """Return what two files of a release say. Raises BrokenInput when one is missing or damaged."""
    decided = decision.read(folder)
    measured = read_document(folder.evaluation, "evaluate", metrics=dict, slices=list)
    try:
        return _evaluated(measured, decided)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        why = f"it or {folder.decision.name} lacks what the page shows: {error!r}"
        raise broken(folder.evaluation, "evaluate", why) from error


def _evaluated(measured: dict[str, Any], decided: dict[str, Any]) -> Evaluated:
    metrics = {name: measured["metrics"][name] for name in NAMES if name in measured["metrics"]}
    slices = measured["slices"]
    return Evaluated(
        verdict=decided["verdict"],
        reasons=decided["reasons"],
        reference=decided["reference"],
        comparison=_comparison(decided["comparison"]),
        slices=slices,
        users=sum(one["users"] for one in slices),
        engine=engine_of(metrics) if metrics else None,
        metrics=_metrics(metrics) if metrics else None,
        less=_less(metrics) if metrics else None,
        bands=_bands(metrics) if metrics else (),
        meanings=list(METRICS.values()),
    )


def engine_of(metrics: dict[str, Any]) -> str:
    """Return under which engine's name the model's own metrics stand in an evaluation."""
    return next(name for name in ENGINES if name in metrics)


def _metrics(metrics: dict[str, Any]) -> Table:
    rows = [
        (title, *(interval(values[key]) for values in metrics.values()))
        for key, (title, _) in METRICS.items()
    ]
    columns = ("Metric", *(NAMES[name] for name in metrics))
    return Table("Each with its 95 % interval over users", columns, tuple(rows))


def _less(metrics: dict[str, Any]) -> Table:
    others = {name: values["less"] for name, values in metrics.items() if "less" in values}
    rows = [
        (title, *(interval(less[key]["absolute"], signed=True) for less in others.values()))
        for key, (title, _) in METRICS.items()
    ]
    columns = ("Metric", *(f"Less {NAMES[name].lower()}" for name in others))
    title = "Difference of this model to each list that is the same for all users, paired"
    return Table(title, columns, tuple(rows))


def _bands(metrics: dict[str, Any]) -> tuple[Table, ...]:
    found = []
    for group, order, key, title, head in (
        (
            "by_history",
            HISTORY_BANDS,
            "ndcg_at_10",
            "NDCG@10 by length of history",
            "Ratings before",
        ),
        (
            "by_popularity",
            (*POPULARITY_BANDS, NEW_BOOKS),
            "recall_at_20",
            "Recall@20 by popularity of the book",
            "Books",
        ),
    ):
        # The file's keys are sorted as text.
        bands = {name: metrics[engine_of(metrics)][group][name] for name in order}
        rows = [
            (
                name,
                str(band["cases"]),
                *(
                    interval(values[group][name][key]) if values[group][name][key] else "–"
                    for values in metrics.values()
                ),
            )
            for name, band in bands.items()
        ]
        columns = (head, "Cases", *(NAMES[name] for name in metrics))
        found.append(Table(title, columns, tuple(rows)))
    return tuple(found)


def _comparison(compared: dict[str, Any] | None) -> list[tuple[str, str]]:
    if compared is None:
        return []
    rows = [
        ("Rows that arrived since the reference", f"{compared['rows']:,}"),
        ("Users among them with something to find", f"{compared['users']:,}"),
    ]
    if compared["difference"] is not None:
        absolute, relative = compared["difference"]["absolute"], compared["difference"]["relative"]
        rows.append(
            (
                "Difference to the reference in NDCG@10, on these rows",
                interval(absolute, signed=True),
            )
        )
        if relative is not None:
            rows.append(("The same, relative", _percent(relative)))
    ours, theirs = compared["coverage_at_10"], compared["reference_coverage_at_10"]
    rows += [
        ("Coverage@10, before and now", f"{theirs:.4f}, {ours:.4f}"),
        ("Mean overlap of a user's lists (1 is identical)", f"{compared['overlap']:.3f}"),
        ("Users only the reference knows", f"{compared['reference_only_users']:,}"),
    ]
    return rows


def interval(value: dict[str, float], *, signed: bool = False) -> str:
    """Return a value with its interval as text."""
    digits = 4 if abs(value["value"]) < 1 else 1
    sign = "+" if signed else ""
    return (
        f"{value['value']:{sign}.{digits}f} "
        f"({value['low']:{sign}.{digits}f} to {value['high']:{sign}.{digits}f})"
    )


def _percent(value: dict[str, float]) -> str:
    return f"{value['value']:+.1%} ({value['low']:+.1%} to {value['high']:+.1%})"
