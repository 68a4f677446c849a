"""The verdict: may this release go live by itself?

In: intervals of comparisons and what could be measured. Out: `go`, `hold` or `stop`, with reasons. Guarantees that `go`
needs evidence, that no evidence is `hold`, and that each reason names its numbers.
"""

from dataclasses import dataclass

from jobs.evaluation.bootstrap import Difference
from jobs.evaluation.comparison import Comparison
from jobs.evaluation.settings import EvaluationSettings

GO, HOLD, STOP = "go", "hold", "stop"
_GRAVITY = (STOP, HOLD, GO)


@dataclass(frozen=True)
class Reason:
    """Why a verdict is not `go`, or what speaks for it; `verdict` is what this reason alone calls for."""

    code: str
    text: str
    verdict: str


@dataclass(frozen=True)
class Evidence:
    """What was measured; None where it could not be.

    `checks` are the data validations by table; `missing_users` have a positive rating and no vector. The
    candidate is the model that was evaluated, trained on one slice less than the release.
    """

    time_ordered: bool
    users: int
    checks: dict[str, str | None]
    broken_lists: int
    missing_users: int
    against_recent: Difference | None
    candidate_overlap: float | None
    coverage: float
    candidate_coverage: float | None
    compared: Comparison | None


def reasons(evidence: Evidence, settings: EvaluationSettings) -> list[Reason]:
    """Return every reason that speaks, the gravest first; the gravest decides."""
    found = [
        *_data(evidence),
        *_soundness(evidence, settings),
        *_against_recent_popularity(evidence, settings),
        *_likeness(evidence, settings),
    ]
    return sorted(found, key=lambda reason: _GRAVITY.index(reason.verdict))


def verdict(found: list[Reason]) -> str:
    """Return the gravest verdict among the reasons; `hold` without any, since `go` needs evidence."""
    return min((reason.verdict for reason in found), key=_GRAVITY.index, default=HOLD)


def _data(evidence: Evidence) -> list[Reason]:
    found = []
    for table, status in evidence.checks.items():
        if status == "failed":
            found.append(Reason("data_checks_failed", f"the checks of {table} failed", STOP))
        elif status == "crashed":
            text = f"the checks of {table} crashed, so nothing is known of them"
            found.append(Reason("data_checks_crashed", text, HOLD))
        elif status is None:
            text = f"{table} as it lies has not been validated"
            found.append(Reason("data_not_validated", text, HOLD))
    return found


def _soundness(evidence: Evidence, settings: EvaluationSettings) -> list[Reason]:
    """Tell a release that is not what its settings and rows would have given."""
    found = []
    if evidence.broken_lists:
        text = f"{evidence.broken_lists} lists are short, repeat a book or hold a read one"
        found.append(Reason("broken_lists", text, STOP))
    if evidence.missing_users:
        text = f"{evidence.missing_users} users with positive ratings have no vector"
        found.append(Reason("users_missing", text, STOP))
    overlap, judged = evidence.candidate_overlap, evidence.candidate_coverage
    if overlap is not None and overlap < settings.candidate_overlap:
        text = (
            "the release is not the model that was judged: the mean overlap of their lists is "
            f"{overlap:.2f}, below {settings.candidate_overlap}"
        )
        found.append(Reason("unlike_judged_model", text, STOP))
    if judged is not None and evidence.coverage < (1 - settings.coverage_fall) * judged:
        text = f"coverage@10 is {evidence.coverage:.4f}; the model that was judged has {judged:.4f}"
        collapsed = evidence.coverage < settings.coverage_collapse * judged
        found.append(Reason("narrower_than_judged_model", text, STOP if collapsed else HOLD))
    return found


def _against_recent_popularity(evidence: Evidence, settings: EvaluationSettings) -> list[Reason]:
    if not evidence.time_ordered:
        text = "quality is not measurable: the source's rows are in no order of time"
        return [Reason("not_measurable", text, HOLD)]
    if evidence.users < settings.min_users or evidence.against_recent is None:
        text = f"no evidence: {evidence.users} users with something to find, {settings.min_users} are needed"
        return [Reason("no_evidence", text, HOLD)]
    found = [_against_recent(evidence.against_recent, settings)]
    if evidence.compared is not None:
        found.append(_against_reference(evidence.compared, settings))
    return found


def _against_recent(difference: Difference, settings: EvaluationSettings) -> Reason:
    absolute = difference.absolute
    interval = _interval(absolute.value, absolute.low, absolute.high, settings)
    text = f"difference to recent popularity in NDCG@10: {interval}"
    if absolute.low > 0:
        return Reason("beats_recent_popularity", text, GO)
    return Reason("not_above_recent_popularity", f"{text}; the interval is not above 0", HOLD)


def _against_reference(compared: Comparison, settings: EvaluationSettings) -> Reason:
    if compared.difference is not None and compared.difference.absolute.low == 0 == (
        compared.difference.absolute.high
    ):
        text = f"finds exactly what the reference finds, on {compared.users} users"
        return Reason("same_as_reference", text, GO)
    relative = compared.difference.relative if compared.difference else None
    if relative is None:
        text = (
            f"nothing to compare with the reference: of the {compared.users} users who read on "
            f"in {compared.rows} newer rows it serves too few"
        )
        return Reason("reference_not_comparable", text, HOLD)
    interval = _interval(relative.value, relative.low, relative.high, settings)
    text = f"difference to the reference in NDCG@10, relative: {interval}, {compared.users} users"
    margin = f"{settings.reference_margin:+.0%}"
    if relative.low > settings.reference_margin:
        return Reason("holds_against_reference", text, GO)
    if relative.high < settings.reference_margin:
        return Reason("worse_than_reference", f"{text}; the interval is below {margin}", STOP)
    return Reason(
        "not_surely_as_good_as_reference", f"{text}; the interval is not above {margin}", HOLD
    )


def _likeness(evidence: Evidence, settings: EvaluationSettings) -> list[Reason]:
    compared = evidence.compared
    if compared is None:
        return []
    found = []
    ours, theirs = compared.coverage_at_10, compared.reference_coverage_at_10
    if ours < (1 - settings.coverage_fall) * theirs:
        text = f"coverage@10 fell from {theirs:.4f} to {ours:.4f}"
        found.append(Reason("coverage_fell", text, HOLD))
    if compared.overlap < settings.reference_overlap:
        text = (
            f"lists changed much: their mean overlap with the reference is {compared.overlap:.2f}, "
            f"below {settings.reference_overlap}"
        )
        found.append(Reason("lists_churned", text, HOLD))
    return found


def _interval(value: float, low: float, high: float, settings: EvaluationSettings) -> str:
    confidence = f"{settings.confidence:.0%}".replace("%", " % CI")
    return f"{value:+.4f} ({confidence} {low:+.4f} to {high:+.4f})"
