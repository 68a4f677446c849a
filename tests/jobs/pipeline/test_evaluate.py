"""The judgement: measured as ir-measures measures, and a verdict that follows from the evidence."""

import json
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, R, nDCG

from jobs.evaluation import metrics, slices, verdict
from jobs.evaluation import settings as evaluation_settings
from jobs.evaluation.bootstrap import Difference, Interval, Resampling, difference
from jobs.evaluation.comparison import Comparison
from jobs.model import settings as model_settings
from tests.harness.command_line import run

SETTINGS = evaluation_settings.load()


def test_metrics_agree_with_an_independent_implementation() -> None:
    """NDCG@10, Recall@20 and MRR of random lists are those of ir-measures, user by user."""
    generator = np.random.default_rng(2)
    users = np.arange(1, 41, dtype=np.int32)
    lists = np.array([generator.permutation(60)[:20] + 1 for _ in users], dtype=np.int32)
    relevant = {int(u): set((generator.permutation(60)[: 1 + u % 9] + 1).tolist()) for u in users}
    keys = np.sort(np.array([(u << 32) | b for u, books in relevant.items() for b in books]))
    hit = metrics.hits(users, lists, keys)
    wanted = metrics.relevant_counts(users, keys)
    ours = {
        "nDCG@10": metrics.ndcg(hit, wanted, 10),
        "R@20": metrics.recall(hit, wanted, 20),
        "RR@20": metrics.reciprocal_rank(hit),
    }
    qrels = [ir_measures.Qrel(str(u), str(b), 1) for u, books in relevant.items() for b in books]
    scored = [
        ir_measures.ScoredDoc(str(u), str(b), -float(rank))
        for u, row in zip(users, lists, strict=True)
        for rank, b in enumerate(row)
    ]
    seen = 0
    for value in ir_measures.iter_calc([nDCG @ 10, R @ 20, RR @ 20], qrels, scored):
        ours_value = ours[str(value.measure)][int(value.query_id) - 1]
        assert ours_value == pytest.approx(value.value, abs=1e-9)
        seen += 1
    assert seen == 3 * 40


def test_an_interval_covers_the_difference_it_should() -> None:
    """Paired values that differ by exactly 0.1 everywhere give an interval of no width around 0.1."""
    users = np.arange(100, dtype=np.int32)
    theirs = np.random.default_rng(3).random(100)
    found = difference(users, theirs + 0.1, theirs, Resampling(200, 0.95, 1)).absolute
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_pairs_pack_into_ascending_keys() -> None:
    """A key holds the user above the book."""
    assert slices.pack(np.array([1]), np.array([2])).tolist() == [(1 << 32) | 2]


_GOOD = Difference(Interval(0.02, 0.01, 0.03), Interval(0.1, 0.05, 0.2))
_UNSURE = Difference(Interval(0.01, -0.01, 0.03), None)
_WORSE = Difference(Interval(-0.1, -0.2, -0.1), Interval(-0.3, -0.4, -0.2))
_OPEN = Difference(Interval(0, -0.1, 0.1), Interval(0, -0.2, 0.2))
_EMPTY = Difference(Interval(0, 0, 0), None)


def _compared(**changes: object) -> Comparison:
    values: dict[str, object] = {
        "reference": "2026-01-01-00000000",
        "rows": 3000,
        "users": 400,
        "difference": _GOOD,
        "coverage_at_10": 0.3,
        "reference_coverage_at_10": 0.3,
        "overlap": 0.8,
        "reference_only_users": 0,
        **changes,
    }
    return Comparison(**values)  # type: ignore[arg-type]


def _evidence(**changes: object) -> verdict.Evidence:
    values: dict[str, object] = {
        "time_ordered": True,
        "users": 500,
        "checks": {"interactions": "passed", "books": "passed"},
        "broken_lists": 0,
        "missing_users": 0,
        "against_recent": _GOOD,
        "candidate_overlap": 0.8,
        "coverage": 0.3,
        "candidate_coverage": 0.3,
        "compared": _compared(),
        **changes,
    }
    return verdict.Evidence(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "word", "code"),
    [
        ({}, "go", "beats_recent_popularity"),
        ({"compared": None}, "go", "beats_recent_popularity"),
        ({"compared": _compared(difference=_EMPTY)}, "go", "same_as_reference"),
        ({"compared": _compared(difference=None)}, "hold", "reference_not_comparable"),
        ({"time_ordered": False}, "hold", "not_measurable"),
        ({"users": 3}, "hold", "no_evidence"),
        ({"against_recent": _UNSURE}, "hold", "not_above_recent_popularity"),
        ({"compared": _compared(difference=_WORSE)}, "stop", "worse_than_reference"),
        ({"compared": _compared(difference=_OPEN)}, "hold", "not_surely_as_good_as_reference"),
        ({"compared": _compared(coverage_at_10=0.2)}, "hold", "coverage_fell"),
        ({"compared": _compared(overlap=0.1)}, "hold", "lists_churned"),
        ({"candidate_overlap": 0.05}, "stop", "unlike_judged_model"),
        ({"coverage": 0.2}, "hold", "narrower_than_judged_model"),
        ({"coverage": 0.1}, "stop", "narrower_than_judged_model"),
        ({"missing_users": 1}, "stop", "users_missing"),
        ({"broken_lists": 1}, "stop", "broken_lists"),
        ({"checks": {"books": "failed"}}, "stop", "data_checks_failed"),
        ({"checks": {"books": "crashed"}}, "hold", "data_checks_crashed"),
        ({"checks": {"books": None}}, "hold", "data_not_validated"),
    ],
)
def test_the_verdict_follows_from_the_evidence(
    changes: dict[str, object], word: str, code: str
) -> None:
    """Each kind of evidence alone gives its verdict and names its reason."""
    found = verdict.reasons(_evidence(**changes), SETTINGS)
    assert verdict.verdict(found) == word
    assert code in {reason.code for reason in found if reason.verdict == word}


def test_real_data_is_judged_whatever_comes_out(
    goodbooks: Path,
    goodbooks_old: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The chain's judgement of both editions: measured on the ordered one, said to be not measurable on the other."""
    small = tmp_path / "model.toml"
    default = model_settings.DEFAULTS.read_text()
    small.write_text(
        default.replace("factors = 64", "factors = 16").replace("iterations = 12", "iterations = 3")
    )
    monkeypatch.setenv("NIGHTSHELF_MODEL_SETTINGS", str(small))
    for folder, ordered in ((goodbooks, True), (goodbooks_old, False)):
        artifacts = tmp_path / folder.name
        monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(artifacts))
        run(capsys, "replay", "--source", folder, "--from", "2026-01-01", "--to", "2026-01-02")
        release = run(capsys, "extract", "--partition", "2026-01-02").outcome["release"]
        run(capsys, "train", "--release", release)
        outcome = run(capsys, "evaluate", "--release", release, "--reference", "none").outcome
        decision = json.loads((artifacts / "releases" / release / "decision.json").read_text())
        assert decision["verdict"] == outcome["verdict"]
        codes = {reason["code"] for reason in decision["reasons"]}
        if not ordered:
            assert (decision["verdict"], codes) == (
                "hold",
                {"not_measurable", "data_not_validated"},
            )
        elif folder.name == "goodbooks-profiles":
            assert set(outcome["ndcg"]) == {"als", "recent_popularity", "all_time_popularity"}
            assert outcome["ndcg"]["recent_popularity"] > outcome["ndcg"]["all_time_popularity"] > 0
