"""Evaluate: would this model have found what people read next, and may its release go live?

In: `interactions.parquet`, `books.parquet` and `factors.parquet` of a release, the reference release. Out:
`evaluation.json` (metrics with intervals) and `decision.json` (verdict, reasons, comparison). Guarantees that the
future is what arrived later, for all users at one moment; that model and baselines are measured on the same users
and books by the same code; and that losing to a baseline is shown as plainly as winning.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jobs.evaluation import (
    bootstrap,
    churn,
    comparison,
    measured,
    ranking,
    rolling_origin,
    slices,
    verdict,
)
from jobs.evaluation.bootstrap import Resampling
from jobs.evaluation.comparison import Comparison
from jobs.evaluation.measured import DEPTH, Measured
from jobs.evaluation.ranked import Ids, Ranked
from jobs.evaluation.rolling_origin import RECENT
from jobs.evaluation.settings import EvaluationSettings
from jobs.evaluation.slices import Slice
from jobs.model.settings import ModelSettings
from jobs.model.settings import of_release as settings_of
from jobs.release import inputs, references
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.errors import GateRefused
from jobs.runtime.files import write_json
from jobs.runtime.record import recorded
from jobs.validation import result
from schemas.manifest import partition_of

#: What is validated before a release is evaluated; its lists are validated after.
_CHECKED: tuple[result.Table, ...] = ("interactions", "books")


@dataclass(frozen=True)
class EvaluateResult:
    """The verdict and the numbers that stand in the log; everything is in the two JSON files."""

    release: str
    verdict: str
    reasons: list[str]
    reference: str | None
    ndcg: dict[str, float]


@dataclass(frozen=True)
class _Rolled:
    """The newest cuts with something to find, and the lists of each ranking at each."""

    cuts: list[Slice]
    lists: dict[str, list[Ranked]]


def run(
    folder: ReleaseFolder,
    artifacts: Artifacts,
    settings: EvaluationSettings,
    *,
    reference: str | None,
    run_by: str,
) -> EvaluateResult:
    """Evaluate a release and write what was found.

    Raises GateRefused when the verdict is stop (after writing); BrokenInput when a file is missing
    or the release was begun with another LISTS_VERSION.
    """
    inputs.require_own(folder)
    if reference is not None:
        references.require(artifacts.release(reference))
    missing = references.passed_over(artifacts, partition_of(folder.release), reference)
    model, ordered = settings_of(folder), bool(inputs.read(folder)["time_ordered"])
    rows = rolling_origin.read_rows(folder)
    how = Resampling(settings.samples, settings.confidence, settings.seed)
    with recorded("evaluate", folder.records, run_by) as counts:
        shipped = ranking.of_release(folder, rows.interactions, rows.catalogue, model, DEPTH)
        rankers = rolling_origin.rankers(rows, model, settings)
        rolled = _roll(rows, rankers, model, settings) if ordered else None
        found = (
            rolling_origin.measure(rolled.cuts, rolled.lists, settings.head_share) if rolled else {}
        )
        compared = (
            comparison.compare(
                rows.interactions,
                rows.catalogue,
                shipped.lists,
                artifacts.release(reference),
                model=model,
                ranker=rankers[model.engine],
                how=how,
            )
            if reference is not None and ordered
            else None
        )
        evidence = _evidence(
            folder,
            (rolled, found, shipped, compared),
            rows.catalogue,
            how,
            engine=model.engine if ordered else None,
        )
        reasons = verdict.reasons(evidence, settings)
        described = measured.described(found, model.engine, how)
        decision = _decision(folder.release, reference, reasons, described, compared)
        decision["missing_references"] = missing
        write_json(
            folder.evaluation,
            {
                "release": folder.release,
                "measurable": bool(found),
                "settings": asdict(settings),
                "slices": _slices(rolled),
                "metrics": described,
            },
        )
        write_json(folder.decision, decision)
        counts.update({"verdict": decision["verdict"], "users": evidence.users})
    return _outcome(folder, decision)


def _decision(
    release: str,
    reference: str | None,
    reasons: list[verdict.Reason],
    described: dict[str, Any],
    compared: Comparison | None,
) -> dict[str, Any]:
    return {
        "release": release,
        "verdict": verdict.verdict(reasons),
        "reasons": [asdict(reason) for reason in reasons],
        "reference": reference,
        "metrics": {name: values["ndcg_at_10"] for name, values in described.items()},
        "comparison": asdict(compared) if compared else None,
    }


def _outcome(folder: ReleaseFolder, decision: dict[str, Any]) -> EvaluateResult:
    texts = [str(reason["text"]) for reason in decision["reasons"]]
    if decision["verdict"] == verdict.STOP:
        raise GateRefused(
            f"the verdict is stop: {'; '.join(texts)}",
            str(folder.decision),
            f"the live release stays; look at {folder.model_page.name} beside it (`nightshelf report` writes it)",
        )
    return EvaluateResult(
        release=folder.release,
        verdict=decision["verdict"],
        reasons=texts,
        reference=decision["reference"],
        ndcg={name: values["value"] for name, values in decision["metrics"].items()},
    )


def _roll(
    rows: rolling_origin.Rows,
    rankers: dict[str, rolling_origin.Ranker],
    model: ModelSettings,
    settings: EvaluationSettings,
) -> _Rolled | None:
    newest = slices.newest(
        rows.interactions,
        rows.catalogue,
        settings.slices,
        settings.slice_share,
        model.positive_from,
    )
    cuts = [one for one in newest if len(one.case_ids)]
    lists = rolling_origin.roll(cuts, rankers, "judge")
    return _Rolled(cuts, lists) if cuts else None


def _evidence(
    folder: ReleaseFolder,
    parts: tuple[_Rolled | None, dict[str, Measured], ranking.Shipped, Comparison | None],
    catalogue: Ids,
    how: Resampling,
    *,
    engine: str | None,
) -> verdict.Evidence:
    """Return what the verdict is about; `engine` is None where rows tell no time and nothing could be measured."""
    rolled, found, shipped, compared = parts
    recent = overlap = candidate_coverage = None
    broken = 0
    if rolled is not None and engine is not None:
        ours, theirs = found[engine], found[RECENT]
        recent = bootstrap.difference(
            ours.case_users, ours.per_case["ndcg_at_10"], theirs.per_case["ndcg_at_10"], how
        )
        candidate = rolled.lists[engine][-1]
        users = candidate.user_ids
        overlap = float(
            churn.rank_biased_overlap(shipped.lists.of(users), candidate.of(users)).mean()
        )
        candidate_coverage = comparison.coverage(candidate, catalogue)
        broken = sum(ours.broken.values())
    return verdict.Evidence(
        time_ordered=engine is not None,
        users=len(np.unique(found[engine].case_users)) if engine in found else 0,
        checks={table: result.status(folder, table) for table in _CHECKED},
        broken_lists=broken,
        missing_users=shipped.missing,
        against_recent=recent,
        candidate_overlap=overlap,
        coverage=comparison.coverage(shipped.lists, catalogue),
        candidate_coverage=candidate_coverage,
        compared=compared,
    )


def _slices(rolled: _Rolled | None) -> list[dict[str, int]]:
    return [
        {
            "history_rows": one.history.num_rows,
            "rows": one.rows,
            "users": len(one.case_ids),
            "relevant": len(one.relevant),
        }
        for one in (rolled.cuts if rolled else [])
    ]
