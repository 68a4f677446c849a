"""Evaluate: would this model have found what people read next, and may its release go live?

In: `interactions.parquet` of a release and the reference release. Out: `evaluation.json` (metrics with intervals) and
`decision.json` (verdict, reasons, comparison). Guarantees that the future is what arrived later, for all users at
one moment; that baselines and reference are measured on the same users and books by the same code; and
that losing to a baseline is shown as plainly as winning.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.judgement import bootstrap, churn, metrics, ranked, slices, verdict
from jobs.judgement.bootstrap import Interval, Resampling
from jobs.judgement.ranked import Ranked
from jobs.judgement.settings import JudgementSettings
from jobs.judgement.slices import Slice
from jobs.model import ranking
from jobs.model.settings import ModelSettings
from jobs.release import inputs
from jobs.release.folder import Artifacts, ReleaseFolder, require
from jobs.runtime.errors import GateRefused
from jobs.runtime.files import write_json
from jobs.runtime.record import read_record, recorded
from schemas import tables

DEPTH = 20
TOP = 10


@dataclass(frozen=True)
class Outcome:
    """The verdict and the numbers that stand in the log; everything is in the two JSON files."""

    release: str
    verdict: str
    reasons: list[str]
    reference: str | None
    ndcg: dict[str, float]


@dataclass(frozen=True)
class _Judged:
    """Cases of all slices behind each other, and each ranking's lists for them."""

    cases: list[Slice]
    lists: dict[str, list[ranked.IdMatrix]]


def run(
    folder: ReleaseFolder,
    artifacts: Artifacts,
    settings: JudgementSettings,
    *,
    reference: str | None,
    run_by: str,
) -> Outcome:
    """Judge a release and write what was found.

    Raises GateRefused when the verdict is stop (after writing); BrokenInput when a file is missing.
    """
    model = inputs.settings(folder)
    begun = inputs.read(folder)
    interactions = pq.read_table(require(folder.interactions, "extract"))
    with recorded("evaluate", folder.records, run_by) as counts:
        judged = _newest(interactions, model, settings) if begun["time_ordered"] else None
        measured = _metrics(judged, settings) if judged else {}
        compared = (
            _compare(interactions, artifacts, model, settings, reference=reference)
            if judged
            else None
        )
        evidence = _evidence(begun["time_ordered"], judged, compared, settings)
        found = verdict.reasons(evidence, settings)
        word = verdict.verdict(found)
        decision = {
            "release": folder.release,
            "verdict": word,
            "reasons": [asdict(reason) for reason in found],
            "reference": reference,
            "metrics": {name: values["ndcg_at_10"] for name, values in measured.items()},
            "comparison": compared,
        }
        write_json(
            folder.evaluation,
            {"settings": asdict(settings), "slices": _described(judged), "metrics": measured},
        )
        write_json(folder.decision, decision)
        counts.update({"verdict": word, "cases": evidence.users})
    outcome = Outcome(
        release=folder.release,
        verdict=word,
        reasons=[reason.text for reason in found],
        reference=reference,
        ndcg={name: values["ndcg_at_10"]["value"] for name, values in measured.items()},
    )
    if outcome.verdict == verdict.STOP:
        raise GateRefused(
            f"the verdict is stop: {'; '.join(outcome.reasons)}",
            str(folder.decision),
            "the live release stays; look at the evaluation",
        )
    return outcome


def _rankings(
    slice_: Slice, model: ModelSettings, settings: JudgementSettings
) -> dict[str, Ranked]:
    history, cases = slice_.history, slice_.case_ids
    half_life = settings.popularity_half_life_share
    return {
        "als": ranking.by_model(history, cases, model, DEPTH),
        "recent_popularity": ranking.by_popularity(history, cases, half_life, DEPTH),
        "all_time_popularity": ranking.by_popularity(history, cases, math.inf, DEPTH),
    }


def _newest(
    interactions: pa.Table, model: ModelSettings, settings: JudgementSettings
) -> _Judged | None:
    found = slices.newest(interactions, settings.slices, settings.slice_share, model.positive_from)
    cases = [one for one in found if len(one.case_ids)]
    if not cases:
        return None
    lists: dict[str, list[ranked.IdMatrix]] = {}
    for one in cases:
        for name, ranking_ in _rankings(one, model, settings).items():
            lists.setdefault(name, []).append(ranking_.of(one.case_ids))
    return _Judged(cases, lists)


def _ndcg(cases: list[Slice], lists: list[ranked.IdMatrix]) -> metrics.Values:
    parts = []
    for one, shown in zip(cases, lists, strict=True):
        hit = metrics.hits(one.case_ids, shown, one.relevant)
        parts.append(metrics.ndcg(hit, metrics.relevant_counts(one.case_ids, one.relevant), TOP))
    return np.concatenate(parts)


def _users(cases: list[Slice]) -> ranked.Ids:
    return np.concatenate([one.case_ids for one in cases])


def _how(settings: JudgementSettings) -> Resampling:
    return Resampling(settings.samples, settings.confidence, settings.seed)


def _metrics(judged: _Judged, settings: JudgementSettings) -> dict[str, dict[str, Any]]:
    users, how = _users(judged.cases), _how(settings)
    found: dict[str, dict[str, Any]] = {}
    recent = _ndcg(judged.cases, judged.lists["recent_popularity"])
    for name, lists in judged.lists.items():
        hit = [
            metrics.hits(c.case_ids, shown, c.relevant)
            for c, shown in zip(judged.cases, lists, strict=True)
        ]
        wanted = [metrics.relevant_counts(c.case_ids, c.relevant) for c in judged.cases]
        ndcg = _ndcg(judged.cases, lists)
        recall = np.concatenate(
            [metrics.recall(h, w, DEPTH) for h, w in zip(hit, wanted, strict=True)]
        )
        first = np.concatenate([metrics.reciprocal_rank(h) for h in hit])
        found[name] = {
            "ndcg_at_10": asdict(bootstrap.mean(users, ndcg, how)),
            "recall_at_20": asdict(bootstrap.mean(users, recall, how)),
            "mrr": asdict(bootstrap.mean(users, first, how)),
            **_of_exposure(judged.cases, lists, settings),
            "ndcg_at_10_less_recent_popularity": asdict(
                bootstrap.difference(users, ndcg, recent, how)
            ),
            "ndcg_at_10_by_history": _by_history(judged.cases, users, ndcg, how),
        }
    return found


def _of_exposure(
    cases: list[Slice], lists: list[ranked.IdMatrix], settings: JudgementSettings
) -> dict[str, float]:
    newest = cases[-1]
    top = np.concatenate([shown[:, :TOP] for shown in lists])
    exposed = metrics.exposure(top, newest.book_ids)
    counts = newest.book_counts
    outside = metrics.tail(newest.book_ids, counts, settings.head_share)
    rarity = metrics.novelty(counts, newest.known_users)
    return {
        "coverage_at_10": float(metrics.coverage(exposed)),
        "gini_at_10": float(metrics.gini(exposed)),
        "tail_share_at_10": float(metrics.mean_of_books(top, newest.book_ids, outside).mean()),
        "novelty_at_10_bits": float(metrics.mean_of_books(top, newest.book_ids, rarity).mean()),
        "mean_popularity_at_10": float(
            metrics.mean_of_books(top, newest.book_ids, counts.astype(float)).mean()
        ),
    }


def _by_history(
    cases: list[Slice], users: ranked.Ids, ndcg: metrics.Values, how: Resampling
) -> dict[str, Any]:
    lengths = np.concatenate([one.history_lengths for one in cases])
    bands = {"0": (0, 0), "1-4": (1, 4), "5-19": (5, 19), "20-99": (20, 99), "100+": (100, np.inf)}
    found: dict[str, Any] = {}
    for name, (low, high) in bands.items():
        inside = (lengths >= low) & (lengths <= high)
        value = asdict(bootstrap.mean(users[inside], ndcg[inside], how)) if inside.any() else None
        found[name] = {"cases": int(inside.sum()), "ndcg_at_10": value}
    return found


def _compare(
    interactions: pa.Table,
    artifacts: Artifacts,
    model: ModelSettings,
    settings: JudgementSettings,
    *,
    reference: str | None,
) -> dict[str, Any] | None:
    """Score the reference's lists on what arrived after its data_as_of, beside this model trained to the same cut."""
    if reference is None:
        return None
    folder = artifacts.release(reference)
    record = read_record(folder.records, "extract")
    data_as_of = pa.scalar(
        np.datetime64(str((record or {})["data_as_of"])[:26], "us"), pa.timestamp("us")
    )
    arrived = interactions[tables.ARRIVED_AT].cast(pa.timestamp("us"))
    before = int(pc.sum(pc.less_equal(arrived, data_as_of)).as_py() or 0)
    cut = slices.cut(interactions, before, interactions.num_rows - before, model.positive_from)
    if before == 0 or not len(cut.case_ids):
        return None
    theirs = ranked.from_tables(
        pq.read_table(folder.lists), pq.read_table(folder.popularity), DEPTH
    )
    ours = ranking.by_model(cut.history, cut.case_ids, model, DEPTH)
    shown, other = ours.of(cut.case_ids), theirs.of(cut.case_ids)
    difference = bootstrap.difference(
        cut.case_ids, _ndcg([cut], [shown]), _ndcg([cut], [other]), _how(settings)
    )
    return {
        "reference": reference,
        "users": len(cut.case_ids),
        "rows": cut.rows,
        "difference": asdict(difference),
        "coverage_at_10": _of_exposure([cut], [shown], settings)["coverage_at_10"],
        "reference_coverage_at_10": _of_exposure([cut], [other], settings)["coverage_at_10"],
        "overlap": float(churn.rank_biased_overlap(shown, other).mean()),
    }


def _evidence(
    time_ordered: bool,  # one fact among others
    judged: _Judged | None,
    compared: dict[str, Any] | None,
    settings: JudgementSettings,
) -> verdict.Evidence:
    recent = broken = None
    if judged is not None:
        users, how = _users(judged.cases), _how(settings)
        ours = _ndcg(judged.cases, judged.lists["als"])
        theirs = _ndcg(judged.cases, judged.lists["recent_popularity"])
        recent = bootstrap.difference(users, ours, theirs, how)
        broken = sum(
            sum(metrics.broken(shown, c.case_ids, _read(c), 0).values())
            for c, shown in zip(judged.cases, judged.lists["als"], strict=True)
        )
    return verdict.Evidence(
        time_ordered=time_ordered,
        users=len(np.unique(_users(judged.cases))) if judged else 0,
        against_recent=recent,
        against_reference=_difference(compared["difference"]) if compared else None,
        coverage=compared["coverage_at_10"] if compared else None,
        reference_coverage=compared["reference_coverage_at_10"] if compared else None,
        reference_overlap=compared["overlap"] if compared else None,
        broken_lists=broken or 0,
    )


def _difference(content: dict[str, Any]) -> bootstrap.Difference:
    relative = content["relative"]
    return bootstrap.Difference(
        Interval(**content["absolute"]), Interval(**relative) if relative else None
    )


def _read(slice_: Slice) -> slices.Keys:
    history = slice_.history
    return np.unique(
        slices.pack(np.asarray(history[tables.USER_ID]), np.asarray(history[tables.BOOK_ID]))
    )


def _described(judged: _Judged | None) -> list[dict[str, int]]:
    return [
        {"history_rows": one.history.num_rows, "rows": one.rows, "users": len(one.case_ids)}
        for one in (judged.cases if judged else [])
    ]
