"""A night of two stages on a release: train, recommend, validate and evaluate by the commands, and twice the same."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from jobs.evaluation import settings as evaluation_settings
from jobs.model import settings as model_settings
from jobs.model.settings import ModelSettings, stage_of
from jobs.model.two_stage import explanation, feature_table
from jobs.pipeline import evaluate, recommend, train, validate
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.validation.bounds import Bounds
from schemas.tables import BOOK_ID, BOOK_IDS, SCORES, SOURCE, USER_ID
from tests.jobs.evaluation import groups

_SHIPPED = model_settings.load(None, "two_stage")
SETTINGS: ModelSettings = replace(
    _SHIPPED,
    factors=12,
    iterations=4,
    two_stage=replace(
        stage_of(_SHIPPED),
        ranker_slices=4,
        ranker_least_cases=50,
        ranker_trees=20,
        ranker_leaf_rows=20,
        pool=150,
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ReleaseFolder:
    """A release of groups of readers with its model and lists."""
    found = groups.write_day(tmp_path_factory.mktemp("night"), "2026-02-01", settings=SETTINGS)
    train.run(found, "a test", threads=1)
    recommend.run(found, "a test", threads=1)
    return found


def test_the_record_says_what_the_ranker_learned_from(folder: ReleaseFolder) -> None:
    """Slices, cases and the recall of candidates stand in the record, the trees beside it."""
    counts = json.loads((folder.records / "train.json").read_text("utf-8"))["counts"]
    assert counts["ranks"] is True
    assert counts["ranker_slices"] == 4
    assert counts["ranker_cases"] >= 50
    assert 0.5 < counts["candidate_recall"] <= 1
    assert json.loads(folder.ranker.read_text("utf-8"))["digest"] == counts["ranker_digest"]


def test_lists_name_the_engine_and_hold_what_was_not_read(folder: ReleaseFolder) -> None:
    """A hundred books a user. Each group has one author: three of the first ten, the cap of the shelf rules."""
    lists = pl.read_parquet(folder.lists)
    assert set(lists[SOURCE]) == {"two_stage"}
    assert set(lists[BOOK_IDS].list.len()) == {100}
    own = [
        sum((user - book) % groups.GROUPS == 0 for book in books[:10])
        for user, books in zip(lists[USER_ID], lists[BOOK_IDS], strict=True)
    ]
    assert set(own) == {3}


def test_the_lists_pass_their_validation(folder: ReleaseFolder) -> None:
    """The shelf rules are among what was expected, and scores need not descend."""
    found = validate.run(
        folder, "lists", None, bounds=Bounds(), max_reject_share=0.05, run_by="a test"
    )
    assert found.status == "passed"
    named = json.loads(folder.validation("lists").read_text("utf-8"))
    names = {one["name"] for one in named["outcomes"]}
    assert {"shelf_volumes_in_order", "shelf_most_of_an_author", "similar_order"} <= names
    assert "lists_order" not in names


def test_the_evaluation_names_the_engine(folder: ReleaseFolder) -> None:
    """What was judged is the release: the same lists from the same rows; it beats what is the same for all."""
    found = evaluate.run(
        folder,
        Artifacts(folder.root.parents[1]),
        evaluation_settings.load(),
        reference=None,
        run_by="a test",
    )
    reasons = json.loads(folder.decision.read_text("utf-8"))["reasons"]
    assert "beats_recent_popularity" in {reason["code"] for reason in reasons}
    assert found.verdict != "stop"
    assert found.ndcg["two_stage"] > 2 * found.ndcg["all_time_popularity"]


def test_the_same_night_gives_the_same_bytes(folder: ReleaseFolder, tmp_path: Path) -> None:
    """Another folder, two threads: ranker and lists are the same files."""
    again = groups.write_day(tmp_path, "2026-02-01", settings=SETTINGS)
    assert again.release == folder.release
    train.run(again, "another test", threads=2)
    recommend.run(again, "another test", threads=2)
    assert again.ranker.read_bytes() == folder.ranker.read_bytes()
    assert again.lists.read_bytes() == folder.lists.read_bytes()


def test_too_little_to_learn_from_gives_lists_of_als(tmp_path: Path) -> None:
    """The lists say who made them, the record that there is no ranker; rules hold all the same."""
    least = replace(stage_of(SETTINGS), ranker_least_cases=10**6)
    few = groups.write_day(tmp_path, "2026-02-01", settings=replace(SETTINGS, two_stage=least))
    assert train.run(few, "a test").ranks is False
    recommend.run(few, "a test")
    lists = pl.read_parquet(few.lists)
    assert set(lists[SOURCE]) == {"als"}
    assert lists[SCORES].list.len().min() == 100


def test_a_recommended_book_is_explained(folder: ReleaseFolder) -> None:
    """Its rank among the candidates, who proposed it, and the five strongest features in words."""
    lists = pl.read_parquet(folder.lists)
    user, book = int(lists[USER_ID][3]), int(lists[BOOK_IDS][3][0])
    found = explanation.ranked(folder, user, book)
    assert found is not None
    assert 1 <= found.rank <= found.of
    assert found.generators
    assert len(found.features) == 5
    assert all(one.meaning for one in found.features)
    every = explanation.ranked(folder, user, book, limit=len(feature_table.NAMES))
    assert every is not None
    assert every.features[:5] == found.features
    assert abs(every.features[0].part) >= abs(every.features[-1].part)


def test_a_book_that_was_not_ranked_has_no_explanation(folder: ReleaseFolder) -> None:
    """A book that the user has rated was no candidate."""
    rated = pl.read_parquet(folder.interactions)
    assert explanation.ranked(folder, int(rated[USER_ID][0]), int(rated[BOOK_ID][0])) is None
