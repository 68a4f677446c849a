"""The verdict: may this release go live by itself?

In: intervals of comparisons and what could be measured. Out: `go`, `hold` or `stop`, with reasons. Guarantees that `go`
needs evidence, that no evidence is `hold`, and that each reason names its numbers.
"""

from dataclasses import dataclass

from jobs.judgement.bootstrap import Difference
from jobs.judgement.settings import JudgementSettings

GO, HOLD, STOP = "go", "hold", "stop"


@dataclass(frozen=True)
class Reason:
    """Why a verdict is not `go`, or what speaks for it; `verdict` is what this reason alone calls for."""

    code: str
    text: str
    verdict: str


@dataclass(frozen=True)
class Evidence:
    """What was measured; None where it could not be."""

    time_ordered: bool
    users: int
    against_recent: Difference | None
    against_reference: Difference | None
    coverage: float | None
    reference_coverage: float | None
    reference_overlap: float | None
    broken_lists: int


def reasons(evidence: Evidence, settings: JudgementSettings) -> list[Reason]:
    """Return every reason that speaks; the gravest decides."""
    found = [*_lists(evidence)]
    if not evidence.time_ordered:
        text = "quality is not measurable: the source's rows are in no order of time"
        return [*found, Reason("not_measurable", text, HOLD)]
    if evidence.users < settings.min_users or evidence.against_recent is None:
        text = f"no evidence: {evidence.users} users with something to find, {settings.min_users} are needed"
        return [*found, Reason("no_evidence", text, HOLD)]
    found += _against_recent(evidence.against_recent)
    if evidence.against_reference is not None:
        found += _against_reference(evidence.against_reference, settings)
    found += _breadth(evidence, settings)
    return found


def verdict(found: list[Reason]) -> str:
    """Return the gravest verdict among the reasons; `go` without any."""
    calls = {reason.verdict for reason in found}
    return STOP if STOP in calls else HOLD if HOLD in calls else GO


def _lists(evidence: Evidence) -> list[Reason]:
    if not evidence.broken_lists:
        return []
    text = f"{evidence.broken_lists} lists are short, repeat a book or hold a read one"
    return [Reason("broken_lists", text, STOP)]


def _against_recent(difference: Difference) -> list[Reason]:
    absolute = difference.absolute
    told = f"NDCG@10 less that of recent popularity is {_told(absolute.value, absolute.low, absolute.high)}"
    if absolute.low > 0:
        return [Reason("beats_recent_popularity", told, GO)]
    return [Reason("not_above_recent_popularity", f"{told}, not surely above 0", HOLD)]


def _against_reference(difference: Difference, settings: JudgementSettings) -> list[Reason]:
    relative = difference.relative
    if relative is None:
        return [
            Reason("reference_not_comparable", "the reference finds nothing to compare with", HOLD)
        ]
    told = (
        f"NDCG@10 relative to the reference is {_told(relative.value, relative.low, relative.high)}"
    )
    if relative.low > settings.reference_margin:
        return [Reason("holds_against_reference", told, GO)]
    if relative.high < settings.reference_margin:
        text = f"{told}, surely below {settings.reference_margin:+.0%}"
        return [Reason("worse_than_reference", text, STOP)]
    text = f"{told}, not surely above {settings.reference_margin:+.0%}"
    return [Reason("not_surely_as_good_as_reference", text, HOLD)]


def _breadth(evidence: Evidence, settings: JudgementSettings) -> list[Reason]:
    found = []
    ours, theirs = evidence.coverage, evidence.reference_coverage
    if ours is not None and theirs and ours < (1 - settings.coverage_fall) * theirs:
        text = f"coverage@10 fell from {theirs:.4f} to {ours:.4f}"
        found.append(Reason("coverage_fell", text, HOLD))
    overlap = evidence.reference_overlap
    if overlap is not None and overlap < settings.reference_overlap:
        text = f"lists changed much: mean overlap with the reference is {overlap:.2f}"
        found.append(Reason("lists_churned", text, HOLD))
    return found


def _told(value: float, low: float, high: float) -> str:
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"
