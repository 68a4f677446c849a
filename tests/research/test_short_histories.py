"""Histories cut short: only the newest ratings of those who read on are left, and everybody else's stay."""

from pathlib import Path

import numpy as np
import pytest

from jobs.evaluation import rolling_origin
from schemas.tables import USER_ID
from tests.jobs.evaluation import groups
from tests.research.short_histories import cut_short


@pytest.mark.parametrize(("low", "high"), [(0, 0), (1, 4), (5, 19)])
def test_readers_keep_their_newest_ratings(low: int, high: int, tmp_path: Path) -> None:
    """Each reader's rows are the last ones of before, as many as the band allows; other readers lose nothing."""
    rows = rolling_origin.rows_of(groups.write_day(tmp_path, "2026-02-01"))
    cut = rolling_origin.cuts_at(rows, (0.8,), 4, 0.02)[0]
    short = cut_short(cut, low, high, seed=1)
    before = np.asarray(cut.history[USER_ID])
    after = np.asarray(short.history[USER_ID])
    assert 0 < len(short.case_ids) <= len(cut.case_ids)
    for user, length in zip(short.case_ids, short.history_lengths, strict=True):
        assert low <= length <= high
        kept = short.history.filter(after == user)
        assert kept.equals(
            cut.history.filter(before == user).slice((before == user).sum() - length)
        )
    others = ~np.isin(before, short.case_ids)
    assert (~np.isin(after, short.case_ids)).sum() == others.sum()
    assert set((short.relevant >> 32).tolist()) == set(short.case_ids.tolist())


def test_whole_histories_stay(tmp_path: Path) -> None:
    """The last band keeps all ratings of those who have as many, and leaves out the others' cases."""
    rows = rolling_origin.rows_of(groups.write_day(tmp_path, "2026-02-01"))
    cut = rolling_origin.cuts_at(rows, (0.9,), 4, 0.02)[0]
    short = cut_short(cut, 30, 10**18, seed=1)
    assert short.history.num_rows == cut.history.num_rows
    assert short.history_lengths.min() >= 30
    assert len(short.case_ids) == (cut.history_lengths >= 30).sum() < len(cut.case_ids)
