"""What every engine promises, asked of each alike: the same readers, the same questions, the same answers to expect."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model import engines, personal
from jobs.model import settings as model_settings
from jobs.model.als import Factors, UserFactors
from jobs.model.engines import ENGINES, Engine
from jobs.model.settings import ModelSettings

GROUPS, READERS, BOOKS = 3, 90, 60
#: A book that nobody has read, and a reader without ratings, each the last.
UNREAD, SILENT = BOOKS, READERS


@pytest.fixture(params=ENGINES)
def settings(request: pytest.FixtureRequest) -> ModelSettings:
    """The settings an engine ships with, small where it has a size."""
    shipped = model_settings.load(None, request.param)
    return replace(shipped, factors=6, iterations=8) if shipped.factors else shipped


@pytest.fixture
def engine(settings: ModelSettings) -> Engine:
    """Each engine."""
    return engines.of(settings)


@pytest.fixture(scope="module")
def read() -> sp.csr_matrix:
    """Readers r who have read 14 of the 20 books b with b % GROUPS == r % GROUPS, each with weight 1."""
    generator = np.random.default_rng(8)
    dense = np.zeros((READERS + 1, BOOKS + 1), dtype=np.float32)
    for reader in range(READERS):
        own = np.arange(reader % GROUPS, BOOKS, GROUPS)
        dense[reader, generator.permutation(own)[:14]] = 1
    return sp.csr_matrix(dense)


def _weighted(read: sp.csr_matrix, weight: float) -> sp.csr_matrix:
    return sp.csr_matrix(read * np.float32(weight))


def _fitted(
    engine: Engine, read: sp.csr_matrix, settings: ModelSettings, threads: int | None = None
) -> tuple[NDArray[np.float32], UserFactors]:
    books = engine.books(_weighted(read, settings.alpha), settings, threads, show_progress=False)
    return books, engine.user_factors(
        _weighted(read, settings.profile_alpha), books, settings, threads
    )


def _dense(vectors: UserFactors) -> NDArray[np.float32]:
    return np.asarray(vectors.toarray() if sp.issparse(vectors) else vectors)


def test_a_reader_gets_the_books_of_their_kind(
    engine: Engine, settings: ModelSettings, read: sp.csr_matrix
) -> None:
    """The six unread books of the reader's own group stand before every other."""
    books, user_factors = _fitted(engine, read, settings)
    popular = np.ones(BOOKS + 1)
    found = personal.best(Factors(user_factors, books), read, popular, settings, 6).found
    own = found.positions[:READERS] % GROUPS == np.arange(READERS)[:, None] % GROUPS
    assert own.all()
    assert (found.counts == 6).all()


def test_lists_hold_no_read_book_and_none_twice(
    engine: Engine, settings: ModelSettings, read: sp.csr_matrix
) -> None:
    """Asked for more books than there are, everybody gets each unread book once, in descending order of score."""
    books, user_factors = _fitted(engine, read, settings)
    found = personal.best(
        Factors(user_factors, books), read, np.ones(BOOKS + 1), settings, 100
    ).found
    for reader in range(READERS):
        count = found.counts[reader]
        listed = found.positions[reader, :count].tolist()
        unread = set(range(BOOKS + 1)) - set(read[reader].indices.tolist())
        assert sorted(listed) == sorted(unread)
        assert (np.diff(found.scores[reader, :count]) <= 0).all()


def test_the_number_of_threads_changes_no_byte(
    engine: Engine, settings: ModelSettings, read: sp.csr_matrix
) -> None:
    """One and two threads give the same vectors, bit by bit."""
    one, two = (_fitted(engine, read, settings, threads) for threads in (1, 2))
    assert one[0].tobytes() == two[0].tobytes()
    assert _dense(one[1]).tobytes() == _dense(two[1]).tobytes()


def test_what_nobody_read_and_who_read_nothing_have_no_vector(
    engine: Engine, settings: ModelSettings, read: sp.csr_matrix
) -> None:
    """The last book's vector is zero; the last reader is not known, and gets what is popular."""
    books, user_factors = _fitted(engine, read, settings)
    assert not books[UNREAD].any()
    vectors = Factors(user_factors, books)
    assert vectors.known.tolist() == [True] * READERS + [False]
    popular = np.linspace(0.1, 1, BOOKS + 1)
    listed = personal.best(vectors, read, popular, settings, 5)
    assert listed.own.tolist() == [True] * READERS + [False]
    assert listed.found.positions[SILENT].tolist() == [60, 59, 58, 57, 56]


def test_a_reader_is_folded_in_alone_as_among_others(
    engine: Engine, settings: ModelSettings, read: sp.csr_matrix
) -> None:
    """A reader's vector is a matter of their own ratings: alone it is the same, also for one the fit never saw."""
    books, user_factors = _fitted(engine, read, settings)
    profiles = _weighted(read, settings.profile_alpha)
    alone = engine.user_factors(profiles[7], books, settings)
    assert _dense(alone)[0] == pytest.approx(_dense(user_factors)[7], abs=1e-5)
    newcomer = sp.csr_matrix(profiles[7] + profiles[8])
    scores = (engine.user_factors(newcomer, books, settings) @ books.T)[0]
    best = np.argsort(-np.where(newcomer.toarray()[0] > 0, -np.inf, scores))[:12]
    assert set((best % GROUPS).tolist()) == {7 % GROUPS, 8 % GROUPS}


def test_the_parts_of_a_score_add_up_to_it(
    engine: Engine, settings: ModelSettings, read: sp.csr_matrix
) -> None:
    """What the read books add makes the score of every book, and books of the same kind speak most."""
    books, user_factors = _fitted(engine, read, settings)
    profiles = _weighted(read, settings.profile_alpha)
    mine = profiles[4]
    places = mine.indices.astype(np.int64)
    found = engine.contributions(books, places, mine.data, np.arange(BOOKS + 1), settings)
    assert found.shape == (BOOKS + 1, 14)
    scores = _dense(user_factors)[4].astype(np.float64) @ books.T.astype(np.float64)
    unread = np.setdiff1d(np.arange(BOOKS + 1), places)
    assert found[unread].sum(axis=1) == pytest.approx(scores[unread], abs=1e-4)


def test_similar_books_are_of_the_same_kind(
    engine: Engine, settings: ModelSettings, read: sp.csr_matrix
) -> None:
    """Similarities are alike both ways, from -1 to 1, and the greatest are those within the group."""
    books, _ = _fitted(engine, read, settings)
    left, right = engine.similarity(books)
    found = np.asarray(left @ right.T)[:BOOKS, :BOOKS]
    assert found == pytest.approx(found.T, abs=1e-5)
    assert np.abs(found).max() <= 1 + 1e-5
    np.fill_diagonal(found, -np.inf)
    nearest = found.argmax(axis=1)
    assert (nearest % GROUPS == np.arange(BOOKS) % GROUPS).all()


def test_what_goes_in_stays_as_it_was(
    engine: Engine, settings: ModelSettings, read: sp.csr_matrix
) -> None:
    """Neither matrix of confidences is written to."""
    training, profiles = (_weighted(read, settings.alpha), _weighted(read, 2.0))
    before = [(one.data.copy(), one.indices.copy()) for one in (training, profiles)]
    books = engine.books(training, settings, show_progress=False)
    user_factors = engine.user_factors(profiles, books, settings)
    personal.best(Factors(user_factors, books), read, np.ones(BOOKS + 1), settings, 5)
    for one, (data, indices) in zip((training, profiles), before, strict=True):
        assert (one.data == data).all()
        assert (one.indices == indices).all()


def test_a_less_certain_rating_says_less(
    engine: Engine, settings: ModelSettings, read: sp.csr_matrix
) -> None:
    """Of a reader with one book of each of two kinds, the kind of the book that counts ten times as much wins."""
    books, _ = _fitted(engine, read, settings)
    for strong, weak in ((0, 1), (1, 0)):
        weights = np.array([10.0, 1.0], dtype=np.float32) * np.float32(settings.profile_alpha)
        profile = sp.csr_matrix((weights, ([0, 0], [strong, weak])), shape=(1, BOOKS + 1))
        scores = (engine.user_factors(profile, books, settings) @ books.T)[0]
        scores[[strong, weak]] = -np.inf
        assert set((np.argsort(-scores)[:10] % GROUPS).tolist()) == {strong}
