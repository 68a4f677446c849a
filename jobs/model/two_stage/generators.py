"""What proposes items: fitted once on a past, asked block by block of users.

In: a past, the metadata of its items, settings. Out: `Generators`, and for a block of users the score of every item by
each generator of this table. A generator sees the rows of its past and nothing else.

| generator | an item's score |
|---|---|
| als_short, als_long | ALS (`jobs.model.als`); the user's vector from what was read last, and from a longer memory |
| ease | sparse EASE (`jobs.model.sparse_ease`), of the user's confidences |
| last | the same weights, of the user's newest items alone |
| author | how much and how lately the user read the author, times a root of recent popularity |
| new | items with few ratings: a ridge regression from metadata onto ALS vectors, times the user's vector |
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model import als, confidence, popularity, sparse_ease
from jobs.model.metadata import NONE, Metadata, width_of
from jobs.model.past import Past
from jobs.model.settings import ModelSettings, stage_of
from jobs.model.two_stage.features import ItemFacts, item_facts

#: An item with more ratings than this is not new.
NEW_RATINGS = 5


@dataclass(frozen=True)
class Generators:
    """What was fitted on `past`: vectors (items, factors), users' vectors, weights, popularity (items,)."""

    past: Past
    metadata: Metadata
    settings: ModelSettings
    facts: ItemFacts
    vectors: NDArray[np.float32]
    short: NDArray[np.float32]
    long: NDArray[np.float32]
    weights: sp.csr_matrix
    profiles: sp.csr_matrix
    newest: sp.csr_matrix
    loved: sp.csr_matrix
    popular: NDArray[np.float64]
    new: NDArray[np.int64]
    new_vectors: NDArray[np.float32]


def fit(
    past: Past,
    metadata: Metadata,
    settings: ModelSettings,
    threads: int | None = None,
    *,
    vectors: NDArray[np.float32] | None = None,
) -> Generators:
    """Return the generators fitted on a past.

    `vectors` are those of ALS where they are at hand; else they are fitted, as the engine `als` does it.
    """
    stage = stage_of(settings)
    if vectors is None:
        training = confidence.training(past.pairs, past.ratings, settings)
        vectors = als.books(training, settings, threads, show_progress=False)
    short = confidence.profiles(past.pairs, past.ratings, settings)
    longer = replace(settings, profile_half_life_books=stage.long_half_life_books)
    long = confidence.profiles(past.pairs, past.ratings, longer)
    ease = replace(
        settings,
        alpha=1.0,
        profile_alpha=1.0,
        neutral_weight=stage.ease_neutral_weight,
        low_weight=stage.ease_low_weight,
        confidence_half_life_share=stage.ease_half_life_share,
        profile_half_life_books=stage.ease_half_life_books,
    )
    weights = sparse_ease.fit(
        confidence.training(past.pairs, past.ratings, ease),
        stage.ease_neighbours,
        stage.ease_regularization,
        threads,
    )
    counts = np.bincount(past.items, minlength=past.pairs.shape[1])
    new = np.flatnonzero(counts <= NEW_RATINGS)
    return Generators(
        past=past,
        metadata=metadata,
        settings=settings,
        facts=item_facts(past, metadata),
        vectors=vectors,
        short=als.user_factors(short, vectors, settings, threads),
        long=als.user_factors(long, vectors, settings, threads),
        weights=weights,
        profiles=confidence.profiles(past.pairs, past.ratings, ease),
        newest=_newest(past, settings),
        loved=_loved(past, metadata, settings),
        popular=popularity.weights(
            past.items, past.pairs.shape[1], settings.popularity_half_life_share
        ),
        new=new,
        new_vectors=_new_vectors(vectors, counts, new, metadata, stage.new_regularization),
    )


def scores(fitted: Generators, users: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """Return by generator the scores (users, items) of every item for some users, given as positions."""
    turned = fitted.vectors.T
    items = len(fitted.vectors)
    liked = fitted.loved[users].toarray()
    author = np.where(
        fitted.metadata.author == NONE, np.float32(0), liked[:, fitted.metadata.author]
    )
    new = np.zeros((len(users), items), dtype=np.float32)
    new[:, fitted.new] = fitted.short[users] @ fitted.new_vectors.T
    return {
        "als_short": fitted.short[users] @ turned,
        "als_long": fitted.long[users] @ turned,
        "ease": (fitted.profiles[users] @ fitted.weights).toarray(),
        "last": (fitted.newest[users] @ fitted.weights).toarray(),
        "author": author * np.sqrt(fitted.popular + 1e-4).astype(np.float32),
        "new": new,
    }


def _newest(past: Past, settings: ModelSettings) -> sp.csr_matrix:
    """Return ones at the newest items (users, items) of each user that were not disliked."""
    liked = past.ratings[past.pairs.order] >= settings.positive_from - 1
    kept = (past.later < stage_of(settings).last_books) & liked
    return past.pairs.matrix(kept.astype(np.float32))


def _loved(past: Past, metadata: Metadata, settings: ModelSettings) -> sp.csr_matrix:
    """Return how much and how lately each user read each author (users, authors)."""
    pairs = past.pairs
    author = metadata.author[pairs.books]
    users = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.starts))
    rating = past.ratings[pairs.order].astype(np.float32)
    value = np.maximum(rating - (settings.positive_from - 2), 0)
    value *= np.exp2(-past.later / np.float32(stage_of(settings).long_half_life_books))
    known = (author != NONE) & (value > 0)
    shape = (pairs.shape[0], width_of(metadata.author))
    return sp.csr_matrix((value[known], (users[known], author[known])), shape=shape)


def _new_vectors(
    vectors: NDArray[np.float32],
    counts: NDArray[np.int64],
    new: NDArray[np.int64],
    metadata: Metadata,
    regularization: float,
) -> NDArray[np.float32]:
    """Return vectors (new, factors) of items with few ratings: ridge regression from metadata onto unit vectors.

    Hoerl and Kennard 1970, in closed form; fitted on the items with more ratings.
    """
    told = _described(metadata)
    known = np.flatnonzero((counts > NEW_RATINGS) & vectors.any(axis=1))
    if not len(known) or not len(new) or not told.shape[1]:
        return np.zeros((len(new), vectors.shape[1]), dtype=np.float32)
    units = vectors[known] / np.linalg.norm(vectors[known], axis=1, keepdims=True)
    left = told[known]
    gram = (left.T @ left + regularization * sp.identity(left.shape[1])).tocsr()
    return np.asarray(told[new] @ _conjugate_gradient(gram, left.T @ units), dtype=np.float32)


def _conjugate_gradient(
    system: sp.csr_matrix, right: NDArray[np.float32], steps: int = 30
) -> NDArray[np.float64]:
    """Return the solution (n, k) of a sparse positive definite system, all columns at once.

    Hestenes and Stiefel 1952. Thirty steps leave 1e-4 of the right side on Goodbooks; a dense solution takes 1.4 s.
    """
    found = np.zeros(right.shape)
    rest = np.asarray(right, dtype=np.float64).copy()
    direction, size = rest.copy(), (rest**2).sum(axis=0)
    for _ in range(steps):
        turned = system @ direction
        step = size / np.maximum((direction * turned).sum(axis=0), 1e-30)
        found += step * direction
        rest -= step * turned
        before, size = size, (rest**2).sum(axis=0)
        direction = rest + size / np.maximum(before, 1e-30) * direction
    return found


def _described(metadata: Metadata) -> sp.csr_matrix:
    """Return authors, series and genres that at least two items share as ones (items, descriptions)."""
    count = len(metadata.author)
    parts = [metadata.genres]
    for group in (metadata.author, metadata.series):
        known = np.flatnonzero(group != NONE)
        ones = np.ones(len(known), dtype=np.float32)
        shape = (count, width_of(group))
        parts.append(sp.csr_matrix((ones, (known, group[known])), shape=shape))
    told = sp.hstack(parts).tocsc()
    shared = np.diff(told.indptr) > 1
    return sp.csr_matrix(told[:, shared])
