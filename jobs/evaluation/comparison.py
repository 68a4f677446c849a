"""A release beside its reference: better or worse on what came since, and how different.

In: the release's rows and lists, the folder of the reference. Out: `Comparison`. Guarantees that the reference's
lists are scored only on rows that arrived after its `data_as_of`, beside a candidate trained to the same cut, so
that neither has seen what it is asked for.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from jobs.evaluation import bootstrap, churn, measured, metrics, ranked, ranking, slices
from jobs.evaluation.bootstrap import Difference, Resampling
from jobs.evaluation.ranked import Ids, Ranked
from jobs.evaluation.rolling_origin import Ranker
from jobs.model.settings import ModelSettings
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.documents import broken
from jobs.runtime.errors import BrokenInput
from jobs.runtime.record import read_record
from jobs.runtime.table_files import read_arrow
from schemas import tables


@dataclass(frozen=True)
class Comparison:
    """What was found; `difference` is of NDCG@10 and None when nothing relevant arrived since.

    `overlap` is the mean rank-biased overlap of the lists of users both know, `reference_only_users` the
    number of users that only the reference knows. Coverage is that of all lists of each.
    """

    reference: str
    rows: int
    users: int
    difference: Difference | None
    coverage_at_10: float
    reference_coverage_at_10: float
    overlap: float
    reference_only_users: int


def compare(
    interactions: pa.Table,
    catalogue: Ids,
    shown: Ranked,
    folder: ReleaseFolder,
    *,
    model: ModelSettings,
    ranker: Ranker,
    how: Resampling,
) -> Comparison:
    """Compare the lists `shown` of a release with those of the reference in `folder`; `ranker` is the model.

    Raises BrokenInput when the reference has no lists or no record of its extract step.
    """
    theirs = ranked.from_tables(
        read_arrow(folder.lists, "recommend"),
        read_arrow(folder.popularity, "recommend"),
        measured.DEPTH,
    )
    before = int(np.count_nonzero(_arrived(interactions) <= _data_as_of(folder)))
    cut = slices.cut(
        interactions, catalogue, before, interactions.num_rows - before, model.positive_from
    )
    common = np.intersect1d(shown.user_ids, theirs.user_ids)
    overlap = churn.rank_biased_overlap(shown.of(common), theirs.of(common))
    return Comparison(
        reference=folder.release,
        rows=cut.rows,
        users=len(cut.case_ids),
        difference=_difference(cut, theirs, ranker, how) if before and len(cut.case_ids) else None,
        coverage_at_10=coverage(shown, catalogue),
        reference_coverage_at_10=coverage(theirs, catalogue),
        overlap=float(overlap.mean()) if len(common) else 0.0,
        reference_only_users=len(np.setdiff1d(theirs.user_ids, shown.user_ids)),
    )


def coverage(lists: Ranked, catalogue: Ids) -> float:
    """Return the share of the catalogue that stands in at least one top 10."""
    return float(metrics.coverage(metrics.exposure(lists.book_ids[:, : measured.TOP], catalogue)))


def _difference(cut: slices.Slice, theirs: Ranked, ranker: Ranker, how: Resampling) -> Difference:
    past = ranking.history(cut.history, cut.catalogue)
    ours = ranker(past)
    return bootstrap.difference(cut.case_ids, _ndcg(cut, ours), _ndcg(cut, theirs), how)


def _ndcg(cut: slices.Slice, lists: Ranked) -> metrics.Values:
    hit = metrics.hits(cut.case_ids, lists.of(cut.case_ids), cut.relevant)
    wanted = metrics.relevant_counts(cut.case_ids, cut.relevant)
    return metrics.ndcg(hit, wanted, measured.TOP)


def _arrived(interactions: pa.Table) -> np.ndarray:
    return np.asarray(interactions[tables.ARRIVED_AT].cast(pa.timestamp("us")).to_numpy())


def _data_as_of(folder: ReleaseFolder) -> np.datetime64:
    record = read_record(folder.records, "extract")
    if record is None:
        raise BrokenInput(
            f"the reference {folder.release} has no record of its extract step",
            str(folder.records),
            "name another reference, or none",
        )
    moment = str(record.get("data_as_of")).removesuffix("+00:00")
    try:
        return np.datetime64(moment, "us")
    except ValueError as error:
        why = f"its data_as_of is {moment}"
        raise broken(folder.records / "extract.json", "extract", why) from error
