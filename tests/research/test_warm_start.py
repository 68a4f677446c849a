"""Whether yesterday's factors save work: held-out quality of a fit that starts from them, beside a cold one."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from jobs.evaluation import measured, ranking, rolling_origin
from jobs.evaluation import settings as evaluation_settings
from jobs.evaluation.bootstrap import Resampling
from jobs.evaluation.measured import DEPTH
from jobs.evaluation.ranked import Ranked
from jobs.evaluation.ranking import History
from jobs.ingest import replay, synthesize
from jobs.model import als, confidence, matrix
from jobs.model import settings as model_settings
from jobs.pipeline import extract
from jobs.runtime.artifacts import Artifacts
from tests.benchmarks.bare_als import bare_als
from tests.benchmarks.conftest import Report
from tests.research.goals import TEST_SHARES
from tests.research.tuning import prepared

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

SETTINGS = replace(model_settings.load(None), iterations=15)
JUDGEMENT = evaluation_settings.load()
#: What has arrived since yesterday, as a share of the rows.
NEW = 0.01
WARM = (1, 2, 3)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> rolling_origin.Rows:
    """Rows of 1,000,000 synthetic ratings whose tastes drift."""
    root = tmp_path_factory.mktemp("warm")
    synthesize.run(root / "source", users=20_000, books=10_000, ratings=1_000_000, seed=1)
    found = Artifacts(root / "artifacts")
    day = date(2026, 1, 1)
    replay.run(root / "source", found.drops, day, day)
    out = extract.run(
        found.drops, found.releases, str(day), SETTINGS, max_reject_share=0.05, run_by="bench"
    )
    return rolling_origin.read_rows(found.release(out.release))


def test_a_warm_start_on_real_rows(goodbooks: Path, report: Report) -> None:
    """NDCG@10 of the next 1 % at six cuts: a cold fit of 15 less 1, 2, 3 iterations from yesterday's factors."""
    with prepared(goodbooks) as folder:
        _compare(rolling_origin.rows_of(folder), TEST_SHARES, report, "real")


def test_a_warm_start_on_synthetic_rows(synthetic: rolling_origin.Rows, report: Report) -> None:
    """The same on a larger set with drift, at two cuts."""
    _compare(synthetic, (0.9, 0.98), report, "synthetic")


def _compare(rows: rolling_origin.Rows, shares: tuple[float, ...], report: Report, of: str) -> None:
    cuts = rolling_origin.cuts_at(rows, shares, SETTINGS.positive_from, JUDGEMENT.slice_share)
    lists: dict[str, list[Ranked]] = {name: [] for name in ("cold", *map(str, WARM))}
    for cut in cuts:
        past = ranking.history(cut.history, cut.catalogue)
        lists["cold"].append(_ranked(past, _fitted(past, SETTINGS.iterations)))
        before = ranking.history(
            cut.history.slice(0, int(cut.history.num_rows * (1 - NEW))), cut.catalogue
        )
        start = _aligned(before.users, _fitted(before, SETTINGS.iterations), past.users)
        for iterations in WARM:
            lists[str(iterations)].append(_ranked(past, _fitted(past, iterations, start)))
    found = rolling_origin.measure(cuts, lists, JUDGEMENT.head_share)
    how = Resampling(JUDGEMENT.samples, JUDGEMENT.confidence, JUDGEMENT.seed)
    described = measured.described(found, "cold", how)
    report(f"{of}: NDCG@10 of a cold fit", described["cold"]["ndcg_at_10"]["value"], "")
    for name in map(str, WARM):
        relative = described[name]["less"]["ndcg_at_10"]["relative"]
        for end in ("value", "low", "high"):
            told = f"{of}: cold / warm of {name} iterations - 1, {end}"
            report(told, relative[end], "ratio", "0 within" if end == "value" else "")


def _fitted(past: History, iterations: int, start: als.Factors | None = None) -> als.Factors:
    with threadpool_limits(1, "blas"):
        model = bare_als(replace(SETTINGS, iterations=iterations))
        if start is not None:
            model.user_factors, model.item_factors = start.users.copy(), start.books.copy()
        training = confidence.training(past.pairs, past.ratings, SETTINGS)
        model.fit(training, show_progress=False)
    return als.Factors(np.asarray(model.user_factors), np.asarray(model.item_factors))


def _aligned(before: matrix.Ids, fitted: als.Factors, now: matrix.Ids) -> als.Factors:
    """Return the factors with a row for every user of `now`, zero for those who came since."""
    users = np.zeros((len(now.values), fitted.users.shape[1]), dtype=np.float32)
    users[now.positions(before.values)] = np.asarray(fitted.users)
    return als.Factors(users, fitted.books)


def _ranked(past: History, fitted: als.Factors) -> Ranked:
    profiles = confidence.profiles(past.pairs, past.ratings, SETTINGS)
    vectors = als.Factors(als.user_factors(profiles, fitted.books, SETTINGS), fitted.books)
    return ranking.by_vectors(past, vectors, SETTINGS, DEPTH)[0]
