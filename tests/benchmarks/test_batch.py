"""What the night's work costs, each as a ratio to a floor timed in the same run, on a synthetic set of full size."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from jobs.evaluation import ranking
from jobs.ingest import replay, synthesize
from jobs.model import als, confidence, scoring
from jobs.model import settings as model_settings
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from schemas.environment import Node, node_list
from schemas.tables import BOOK_ID
from tests.benchmarks.bare_als import bare_als
from tests.benchmarks.conftest import Report

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

SETTINGS = replace(model_settings.load(None), factors=128, iterations=15)
DAY = "2026-01-02"
#: How the seconds of a step and the memory after it are named in what the chain prints.
STEP, PEAK = "chain: ", "peak memory up to: "

_CHAIN = """
import json, sys, time
from datetime import date
from pathlib import Path
from jobs.pipeline import extract, recommend, train
from jobs.model import settings as model_settings
from jobs.release import manifest
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import from_environment
from jobs.runtime.files import write_json
from jobs.runtime.record import peak_memory_bytes
from jobs.store import changes, placing
from dataclasses import replace

settings = from_environment()
artifacts = Artifacts(settings.artifacts)
model = replace(model_settings.load(None), factors=128, iterations=15)
took = {}
def timed(name, work):
    started = time.perf_counter()
    result = work()
    took["chain: " + name] = time.perf_counter() - started
    took["peak memory up to: " + name] = peak_memory_bytes() / 1e9
    return result
found = timed("extract", lambda: extract.run(artifacts.drops, artifacts.releases, "2026-01-02", model,
    max_reject_share=0.05, run_by="bench"))
folder = artifacts.release(found.release)
timed("train", lambda: train.run(folder, "bench"))
timed("recommend", lambda: recommend.run(folder, "bench"))
write_json(folder.evaluation, {})
write_json(folder.records / "evaluate.json", {"counts": {}})
described = manifest.write(folder, "bench")
with changes.opened(artifacts, settings) as store:
    timed("encode, load, read back", lambda: placing.place(store, folder, described))
took["peak memory of the chain"] = peak_memory_bytes() / 1e9
print(json.dumps(took))
"""


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """Drops of 5,976,479 synthetic ratings over two days."""
    root = tmp_path_factory.mktemp("batch")
    started = time.perf_counter()
    synthesize.run(root / "source", users=53_424, books=10_000, ratings=5_976_479, seed=1)
    print(f"\nsynthesize took {time.perf_counter() - started:.1f} s")
    found = Artifacts(root / "artifacts")
    days = np.datetime64("2026-01-01").astype(object), np.datetime64(DAY).astype(object)
    replay.run(root / "source", found.drops, *days)
    return found


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _confidence(folder: ReleaseFolder) -> sp.csr_matrix:
    books = pl.read_parquet(folder.books)[BOOK_ID].to_numpy()
    past = ranking.history(pq.read_table(folder.interactions), books)
    return confidence.training(past.pairs, past.ratings, SETTINGS)


def _bare(confidence: sp.csr_matrix) -> None:
    with threadpool_limits(1, "blas"):
        bare_als(SETTINGS).fit(confidence, show_progress=False)


def _chain(
    artifacts: Artifacts, nodes: tuple[Node, ...], folder: Path, namespace: str
) -> dict[str, float]:
    """Return the seconds of each step of a run from drops to Redis, its peaks in GB, and leave its release."""
    script = folder / "chain.py"
    script.write_text(_CHAIN)
    environment = {
        "PATH": "/usr/bin:/bin",
        "NIGHTSHELF_ARTIFACTS": str(artifacts.root),
        "NIGHTSHELF_REDIS": node_list(nodes),
        "NIGHTSHELF_NAMESPACE": namespace,
    }
    for release in artifacts.releases.glob(f"{DAY}-*"):
        shutil.rmtree(release)
    shown = subprocess.run(
        [sys.executable, str(script)], env=environment, check=True, capture_output=True, text=True
    )
    took: dict[str, float] = json.loads(shown.stdout.splitlines()[-1])
    return took


def test_the_chain_beside_its_als_fit(
    artifacts: Artifacts, redis_nodes: tuple[Node, ...], report: Report, tmp_path: Path
) -> None:
    """Read, checks, matrix, ALS 128 x 15, top 100 for all, parquet, load and read back / the bare ALS fit alone.

    Before and after each other, as the speed of a machine may drift by a tenth within minutes (seen here).
    """
    first = _chain(artifacts, redis_nodes, tmp_path, "first")
    (release,) = artifacts.releases.glob(f"{DAY}-*")
    confidence = _confidence(ReleaseFolder(release))
    bare = [_timed(lambda: _bare(confidence))]
    ours = _timed(lambda: als.fit(confidence, SETTINGS))
    bare.append(_timed(lambda: _bare(confidence)))
    last = _chain(artifacts, redis_nodes, tmp_path, "last")
    steps = [name for name in first if name.startswith(STEP)]
    for name in steps:
        report(name, (first[name] + last[name]) / 2, "s")
    for name in (name for name in first if name.startswith(PEAK)):
        report(name, max(first[name], last[name]), "GB")
    floor = sum(bare) / 2
    report("bare ALS fit", floor, "s")
    chains = [sum(took[name] for name in steps) for took in (first, last)]
    report("whole chain, first and last", abs(chains[0] - chains[1]), "s apart")
    report("whole chain / bare ALS fit", sum(chains) / 2 / floor, "ratio", "<= 1.25")
    report("ALS fit / bare implicit fit", ours / floor, "ratio", "<= 1.05")
    peak = max(took["peak memory of the chain"] for took in (first, last))
    report("peak memory of the chain", peak, "GB", "<= 0.8")


def test_scoring_beside_its_product(report: Report) -> None:
    """Sgemm of all users and books alone / scoring and selection of the top 100 with read books left out."""
    generator = np.random.default_rng(1)
    users = generator.standard_normal((53_424, 128), dtype=np.float32)
    books = generator.standard_normal((10_000, 128), dtype=np.float32)
    read = sp.csr_matrix(sp.random(53_424, 10_000, density=0.0112, dtype=np.float32, rng=1))
    turned = np.ascontiguousarray(books.T)

    def product() -> None:
        for start in range(0, len(users), 2048):
            users[start : start + 2048] @ turned

    product()
    floors = [_timed(product) for _ in range(3)]
    ours = [_timed(lambda: scoring.best(users, books, read, 100)) for _ in range(3)]
    ratio = float(np.median(floors) / np.median(ours))
    report("sgemm alone / scoring and selection", ratio, "ratio", ">= 0.45")
    report("scoring and selection for all users", float(np.median(ours)), "s")


def test_a_warm_start_beside_a_cold_one(artifacts: Artifacts, report: Report) -> None:
    """Iterations from yesterday's factors (1 % fewer rows) to the training loss of a cold fit of 15."""
    folder = ReleaseFolder(next(artifacts.releases.glob(f"{DAY}-*")))
    today = _confidence(folder)
    keep = np.random.default_rng(2).random(today.nnz) > 0.01
    coo = today.tocoo()
    yesterday = sp.csr_matrix((coo.data[keep], (coo.row[keep], coo.col[keep])), shape=today.shape)
    with threadpool_limits(1, "blas"):
        cold = bare_als(SETTINGS)
        losses: list[float] = []
        cold.calculate_training_loss = True
        cold.fit(today, show_progress=False, callback=lambda _i, _t, loss: losses.append(loss))
        before = bare_als(SETTINGS)
        before.fit(yesterday, show_progress=False)
        warm = bare_als(SETTINGS)
        warm.user_factors, warm.item_factors = before.user_factors, before.item_factors
        warm.calculate_training_loss = True
        again: list[float] = []
        warm.fit(today, show_progress=False, callback=lambda _i, _t, loss: again.append(loss))
    enough = next((n for n, loss in enumerate(again, 1) if loss <= losses[-1]), 16)
    report("iterations of a warm start to the loss of a cold 15", enough, "iterations", "seen 1")
