"""What it would cost to give every place of every list the read book that speaks most for it: seconds, bytes a user.

53,424 readers of 112 of 10,000 books, 100 places each. The parts are those of `jobs.model.als`, for each
reader one factorisation of the reader's own system. Beside it, in the same run: the readers' vectors and their lists.
What was decided by it stands in docs/model-evaluation.md.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from redis.cluster import ClusterNode, RedisCluster
from threadpoolctl import threadpool_limits

from jobs.model import als, personal, scoring
from jobs.model import settings as model_settings
from schemas import keys
from schemas.environment import Node
from tests.benchmarks.conftest import Report
from tests.harness.store import used_memory

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

USERS, BOOKS, READ, LENGTH = 53_424, 10_000, 112, 100
DEFAULTS = model_settings.load(None)
_BLOCK = 256
#: Places of a list that an answer shows unless it is asked for more.
SHOWN = 10


def speakers(
    books: NDArray[np.float32],
    profiles: sp.csr_matrix,
    found: scoring.Best,
    regularization: float,
) -> NDArray[np.int32]:
    """Return for each place (readers, length) the position of the read book with the greatest part of its score."""
    gram = books.astype(np.float64).T @ books.astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularization
    result = np.zeros(found.positions.shape, dtype=np.int32)

    def some(start: int) -> None:
        for row in range(start, min(start + _BLOCK, profiles.shape[0])):
            read = profiles.indices[profiles.indptr[row] : profiles.indptr[row + 1]]
            weights = profiles.data[profiles.indptr[row] : profiles.indptr[row + 1]]
            vectors = books[read]
            system = gram + (vectors.T * (weights - 1)) @ vectors
            factor = scipy.linalg.lapack.dposv(system, vectors.T.astype(np.float64))[1]
            contributions = books[found.positions[row]] @ factor.astype(np.float32) * weights
            result[row] = read[contributions.argmax(axis=1)]

    with (
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        for _ in pool.map(some, range(0, profiles.shape[0], _BLOCK)):
            pass
    return result


def _readers(users: int) -> sp.csr_matrix:
    generator = np.random.default_rng(1)
    columns = np.concatenate(
        [np.sort(generator.choice(BOOKS, READ, replace=False)) for _ in range(users)]
    )
    recent = np.exp2(-np.arange(READ) / DEFAULTS.profile_half_life_books)
    weights = np.concatenate([generator.permutation(recent) for _ in range(users)])
    data = np.maximum(DEFAULTS.profile_alpha * weights, 1e-4).astype(np.float32)
    return sp.csr_matrix((data, columns, np.arange(users + 1) * READ), shape=(users, BOOKS))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@pytest.mark.parametrize("factors", [64, 128])
def test_seconds(factors: int, report: Report) -> None:
    """Seconds for everybody, beside those of vectors and lists; and the book found is that of `als.parts`."""
    generator = np.random.default_rng(2)
    books = generator.normal(0, 0.1, (BOOKS, factors)).astype(np.float32)
    profiles = _readers(USERS)
    settings = replace(DEFAULTS, factors=factors)
    popular = np.ones(BOOKS)
    users = als.user_factors(profiles, books, settings)
    found = personal.best(als.Factors(users, books), profiles, popular, settings, LENGTH).found
    strongest: list[NDArray[np.int32]] = []
    strength = settings.profile_regularization
    seconds = _timed(lambda: strongest.append(speakers(books, profiles, found, strength)))
    before = _timed(
        lambda: personal.best(
            als.Factors(als.user_factors(profiles, books, settings), books),
            profiles,
            popular,
            settings,
            LENGTH,
        )
    )
    report(f"because, {factors} factors: seconds for 53,424 readers", seconds, "s")
    report(f"because / vectors and lists, {factors} factors", seconds / before, "ratio")
    read = profiles.indices[:READ].astype(np.int64)
    contributions = als.contributions(
        books, read, profiles.data[:READ], found.positions[0], settings
    )
    # Where two books speak almost alike, single precision may take the other.
    chosen = np.searchsorted(read, strongest[0][0])
    assert contributions[np.arange(LENGTH), chosen] == pytest.approx(
        contributions.max(axis=1), rel=1e-2
    )


#: Bytes beside a packed list of 401.
LAYOUTS = {
    "nothing": 0,
    "an id a place": 2 * LENGTH,
    "an id for each of 10 places": 2 * SHOWN,
    "a table of 16 ids, half a byte a place": 2 * 16 + LENGTH // 2,
}


def test_bytes(redis_nodes: tuple[Node, ...], report: Report) -> None:
    """Bytes a user in Redis of each way to store it, in hashes of 64 users as lists are stored."""
    generator = np.random.default_rng(3)
    with RedisCluster(startup_nodes=[ClusterNode(n.host, n.port) for n in redis_nodes]) as cluster:
        for place, (name, more) in enumerate(LAYOUTS.items()):
            before = used_memory(redis_nodes)
            buckets: dict[str, dict[str, bytes]] = {}
            for user in range(1, USERS + 1):
                key = f"shelf:2026-11-24-because{place}:users:{keys.bucket(user, -(-USERS // 64))}"
                buckets.setdefault(key, {})[str(user)] = generator.bytes(401 + more)
            for key, fields in buckets.items():
                cluster.hset(key, mapping=fields)
            size = (used_memory(redis_nodes) - before) / USERS
            report(f"because, {name}: bytes", size, "bytes/user", "<= 600")
