"""Candidates, features, ranker and lists on a shop whose next sale is known (`shop`)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.model import metadata
from jobs.model.metadata import Metadata
from jobs.model.past import Past
from jobs.model.settings import ModelSettings, stage_of
from jobs.model.two_stage import (
    candidates,
    engine,
    feature_table,
    features,
    generators,
    lists,
    stored,
)
from jobs.model.two_stage.engine import Rows, Taught
from jobs.model.two_stage.generators import Generators
from jobs.model.two_stage.ranker import Examples, learn
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import BrokenInput
from tests.jobs.model.catalogue import cards
from tests.jobs.model.two_stage import shop

MOMENT = 2400


@pytest.fixture(scope="module")
def fitted() -> Generators:
    """The generators at MOMENT."""
    return shop.moments().generators(shop.rows(), MOMENT)[0]


@pytest.fixture(scope="module")
def taught() -> Taught:
    """The ranker of MOMENT."""
    return shop.moments().taught(shop.rows(), MOMENT)


def _everyone(fitted: Generators) -> NDArray[np.int64]:
    return np.arange(fitted.past.pairs.shape[0])


def test_candidates_are_unread_books_of_known_places(fitted: Generators) -> None:
    """No pair repeats, none was rated, rows ascend, and the next volume of what was begun is among them."""
    found = candidates.of_block(fitted, _everyone(fitted))
    pairs = set(zip(found.row.tolist(), found.item.tolist(), strict=True))
    assert len(pairs) == len(found.row)
    assert (np.diff(found.row) >= 0).all()
    rated = fitted.past.rated.tocoo()
    read = set(zip(rated.row.tolist(), rated.col.tolist(), strict=True))
    assert not pairs & read
    following = {
        (user, item + 1)
        for user, item in read
        if (item + 1) % shop.VOLUMES and (user, item + 1) not in read
    }
    assert following <= pairs


def test_every_feature_of_the_table_is_computed_and_nothing_else(fitted: Generators) -> None:
    """The ranker's columns are those of the table, in its order, one value a candidate."""
    found = candidates.of_block(fitted, _everyone(fitted)[:7])
    assert set(found.columns) == set(feature_table.NAMES)
    table = features.matrix(found.columns)
    assert table.shape == (len(found.row), len(feature_table.FEATURES))
    assert table.dtype == np.float32
    for place, name in enumerate(feature_table.NAMES):
        np.testing.assert_array_equal(table[:, place], found.columns[name])


def test_features_are_what_their_words_say(fitted: Generators) -> None:
    """One user's series and author, counted in plain Python from the rows."""
    rows, past = shop.rows(), fitted.past
    users = np.unique(rows.users[:MOMENT])
    place = 11
    mine = [
        (int(item), int(rating))
        for user, item, rating in zip(
            rows.users[:MOMENT], rows.items[:MOMENT], rows.ratings[:MOMENT], strict=True
        )
        if user == users[place]
    ]
    found = candidates.of_block(fitted, np.array([place]))
    mean = np.mean([rating for _, rating in mine])
    for at, item in enumerate(found.item):
        series = int(item) // shop.VOLUMES
        own = [(n, i, r) for n, (i, r) in enumerate(mine) if i // shop.VOLUMES == series]
        told = {name: float(column[at]) for name, column in found.columns.items()}
        assert told["series_read"] == told["author_read"] == len(own)
        assert told["user_ratings"] == pytest.approx(np.log1p(len(mine)))
        assert told["volume"] == item % shop.VOLUMES + 1
        assert told["series_first"] == item % shop.VOLUMES
        if own:
            assert told["series_gap"] == item - max(i for _, i, _ in own)
            assert told["series_since"] == pytest.approx(np.log1p(len(mine) - 1 - own[-1][0]))
            rating = np.mean([r for _, _, r in own]) - mean
            assert told["series_rating"] == pytest.approx(rating, abs=1e-5)
        else:
            assert np.isnan(told["series_gap"])
    seen = np.bincount(past.items, minlength=rows.item_count)
    np.testing.assert_allclose(found.columns["ratings"], np.log1p(seen[found.item]), rtol=1e-6)


def test_rows_that_arrive_later_change_no_feature() -> None:
    """The features at a moment are the same bytes whether the source ends there or goes on."""
    rows = shop.rows()
    cut = Rows(rows.users[:MOMENT], rows.items[:MOMENT], rows.ratings[:MOMENT], rows.item_count)
    found = [
        features.matrix(
            candidates.of_block(shop.moments().generators(one, MOMENT)[0], np.arange(40)).columns
        )
        for one in (rows, cut)
    ]
    assert found[0].tobytes() == found[1].tobytes()


def test_the_ranker_of_a_moment_has_seen_nothing_after_it(taught: Taught) -> None:
    """Other rows after the moment give the same trees."""
    rows = shop.rows()
    changed = replace(rows, items=rows.items.copy())
    changed.items[MOMENT:] = changed.items[MOMENT:][::-1]
    assert taught.ranker is not None
    again = shop.moments().taught(changed, MOMENT)
    assert again == taught


def test_the_same_trees_for_any_number_of_threads(taught: Taught) -> None:
    """One thread and two: the same bytes, digest and all."""
    assert taught.ranker is not None
    for threads in (1, 2):
        found = shop.moments(threads=threads).taught(shop.rows(), MOMENT)
        assert found.ranker is not None
        assert found.ranker.trees == taught.ranker.trees


def test_a_slice_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ranker of the next moment needs one more fit: the others were made for the one before."""
    fits: list[int] = []
    made = generators.fit

    def counted(past: Past, told: Metadata, settings: ModelSettings, threads: int) -> Generators:
        fits.append(past.rows)
        return made(past, told, settings, threads)

    monkeypatch.setattr(generators, "fit", counted)
    moments = shop.moments()
    moments.taught(shop.rows(), MOMENT)
    assert len(fits) == len(set(fits)) == stage_of(shop.SETTINGS).ranker_slices
    moments.taught(shop.rows(), MOMENT + moments.width)
    assert len(fits) == len(set(fits)) == stage_of(shop.SETTINGS).ranker_slices + 1
    # A cut that is nearly a slice later, as shares of the rows give them, shares the slices too.
    moments.taught(shop.rows(), MOMENT + 2 * moments.width + 1)
    assert len(fits) == len(set(fits)) == stage_of(shop.SETTINGS).ranker_slices + 2


def test_the_ranker_finds_the_next_volume(fitted: Generators, taught: Taught) -> None:
    """Of users who read on in a series the next volume stands first far more often than by ALS alone."""
    rows = shop.rows()
    users = np.unique(rows.users[:MOMENT])
    owners, first = np.unique(rows.users[MOMENT:], return_index=True)
    following = rows.items[MOMENT:][first]
    assert np.array_equal(users, owners)
    before = {
        user: set(rows.items[:MOMENT][rows.users[:MOMENT] == user].tolist()) for user in users
    }
    reads_on = np.array(
        [item - 1 in before[user] for user, item in zip(users, following, strict=True)]
    ) & (following % shop.VOLUMES > 0)
    assert reads_on.sum() > 50
    hits = {}
    for name, ranker in (("als", None), ("two", taught.ranker)):
        found = lists.best(fitted, ranker, _everyone(fitted), 20).personal.found
        hits[name] = (found.positions[:, 0] == following)[reads_on].mean()
    assert hits["two"] > 0.5
    assert hits["two"] > 1.5 * hits["als"]


def test_lists_are_complete_and_hold_nothing_read(fitted: Generators, taught: Taught) -> None:
    """As long as asked for, without repeats, without a rated book, and the same for one and two threads."""
    found = lists.best(fitted, taught.ranker, _everyone(fitted), 20, threads=1).personal.found
    assert (found.counts == 20).all()
    rated = fitted.past.rated.toarray() > 0
    for row, items in enumerate(found.positions):
        assert len(set(items.tolist())) == 20
        assert not rated[row, items].any()
    again = lists.best(fitted, taught.ranker, _everyone(fitted), 20, threads=2).personal.found
    assert found.positions.tobytes() == again.positions.tobytes()
    assert found.scores.tobytes() == again.scores.tobytes()


def test_a_list_ends_where_the_catalogue_does(fitted: Generators, taught: Taught) -> None:
    """Asked for more than there is, a list holds every book that its user has not rated."""
    length = shop.rows().item_count
    found = lists.best(fitted, taught.ranker, _everyone(fitted), length).personal.found
    read = np.diff(fitted.past.pairs.starts)
    # A second edition and a box set are kept out: the shop has none.
    assert (found.counts == length - read).all()


def test_too_few_cases_give_no_ranker(fitted: Generators) -> None:
    """The lists are those of ALS, and what was learned from says so."""
    least = replace(stage_of(shop.SETTINGS), ranker_least_cases=10**6)
    settings = replace(shop.SETTINGS, two_stage=least)
    found = shop.moments(settings).taught(shop.rows(), MOMENT)
    assert found.ranker is None
    assert found.cases > 0
    listed = lists.best(fitted, None, _everyone(fitted), 5).personal.found
    assert (listed.counts == 5).all()


def test_users_with_one_rating_and_books_without_cards_are_ranked() -> None:
    """Nothing is known of any book but who rated it: features fall away, lists come."""
    generator = np.random.default_rng(2)
    users = np.repeat(np.arange(1, 301), 2).astype(np.int32)
    items = generator.integers(0, 40, 600)
    _, kept = np.unique(users.astype(np.int64) * 100 + items, return_index=True)
    kept.sort()
    rows = Rows(users[kept], items[kept], np.full(len(kept), 5, dtype=np.int8), 40)
    told = metadata.of_cards(cards([(f"Thing {n}", None) for n in range(40)], genre=""))
    stage = replace(stage_of(shop.SETTINGS), ranker_least_cases=1)
    moments = engine.Moments(told, replace(shop.SETTINGS, two_stage=stage), 40)
    found = moments.taught(rows, len(kept))
    fitted, known = moments.generators(rows, len(kept))
    listed = lists.best(fitted, found.ranker, np.arange(len(known.values)), 20)
    assert (listed.personal.found.counts == 20).all()


def test_a_single_user_gets_a_list() -> None:
    """One user, two books: the third is the list."""
    rows = Rows(
        np.array([7, 7], dtype=np.int32), np.array([0, 1]), np.array([5, 4], dtype=np.int8), 3
    )
    told = metadata.of_cards(cards([("One", "A"), ("Two", "A"), ("Three", "A")]))
    moments = engine.Moments(told, shop.SETTINGS, 1)
    assert moments.taught(rows, 2).ranker is None
    fitted, _ = moments.generators(rows, 2)
    found = lists.best(fitted, None, np.arange(1), 20).personal.found
    assert found.positions[0, : found.counts[0]].tolist() == [2]


def test_contributions_add_up_to_the_score(fitted: Generators, taught: Taught) -> None:
    """TreeSHAP: the parts of the features and what all scores start from."""
    assert taught.ranker is not None
    found = candidates.of_block(fitted, np.arange(3))
    table = features.matrix(found.columns)
    parts = taught.ranker.contributions(table)
    assert parts.shape == (len(table), len(feature_table.NAMES) + 1)
    np.testing.assert_allclose(parts.sum(axis=1), taught.ranker.scores(table), atol=1e-5)


def test_a_planted_feature_is_learned() -> None:
    """The liked one of each case has the greatest value of one feature: it is ranked first."""
    generator = np.random.default_rng(4)
    values = generator.normal(size=(200, 10, len(feature_table.NAMES))).astype(np.float32)
    liked = values[:, :, 3].argmax(axis=1)
    labels = np.zeros((200, 10), dtype=np.bool_)
    labels[np.arange(200), liked] = True
    examples = Examples(values.reshape(2000, -1), labels.ravel(), np.full(200, 10, dtype=np.int64))
    ranker = learn([examples], feature_table.NAMES, shop.SETTINGS)
    scores = ranker.scores(values.reshape(2000, -1)).reshape(200, 10)
    assert (scores.argmax(axis=1) == liked).mean() > 0.9


def test_a_stored_ranker_is_read_back(tmp_path: Path, taught: Taught) -> None:
    """The same trees and names; no ranker is read as none."""
    folder = ReleaseFolder(tmp_path)
    digest = stored.write(folder, taught)
    assert stored.read(folder) == taught.ranker
    assert len(digest) == 64
    stored.write(folder, replace(taught, ranker=None))
    assert stored.read(folder) is None


def test_a_ranker_of_other_features_is_refused(
    tmp_path: Path, taught: Taught, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the feature and what to do."""
    folder = ReleaseFolder(tmp_path)
    stored.write(folder, taught)
    monkeypatch.setattr(feature_table, "NAMES", (*feature_table.NAMES, "weather"))
    with pytest.raises(
        BrokenInput, match=r"of other features[\s\S]*weather[\s\S]*run its day again"
    ):
        stored.read(folder)


def test_damaged_trees_are_refused(tmp_path: Path, taught: Taught) -> None:
    """A file whose digest is not that of its trees is not used."""
    folder = ReleaseFolder(tmp_path)
    stored.write(folder, taught)
    text = folder.ranker.read_text("utf-8")
    folder.ranker.write_text(text.replace("leaf_value=", "leaf_value=9", 1), "utf-8")
    with pytest.raises(BrokenInput, match="digest"):
        stored.read(folder)
