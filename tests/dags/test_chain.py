"""The DAGs from a real folder of books down to a list over HTTP.

One shelf for all tests of this kind: the first day's release is live before any test. Each test leaves it live.
"""

import json
from collections.abc import Callable
from pathlib import Path

from tests.dags.shelf import Shelf, states


def test_a_list_comes_over_http(shelf: Shelf, small_books: Path) -> None:
    """A user of the real data gets ten books of the release that the DAGs made live."""
    with (small_books / "ratings.csv").open(encoding="utf-8-sig") as file:
        header = file.readline().strip().split(",")
        user = file.readline().split(",")[header.index("user_id")]
    answer = shelf.edge.get(f"/v1/users/{user}/recommendations?limit=10")
    assert answer["release"] == shelf.release
    assert len(answer["items"]) == 10
    report = shelf.artifacts / "releases" / shelf.release / "report.html"
    assert shelf.release in report.read_text(encoding="utf-8")


def test_the_manifest_names_the_run(shelf: Shelf) -> None:
    """A release says which DAG and which run trained it, and which published it."""
    folder = shelf.artifacts / "releases" / shelf.release
    trained = json.loads((folder / "records" / "train.json").read_text(encoding="utf-8"))
    assert trained["run_by"].startswith("recommender_train/manual__")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["run_by"].startswith("recommender_publish/manual__")


def test_a_rollback_to_what_is_not_loaded(shelf: Shelf, own_log: Callable[[], list[str]]) -> None:
    """An id that is not loaded is refused, with the list of those that are."""
    unknown = f"{shelf.days[0]}-ffffffff"
    ended = shelf.run("recommender_rollback", release=unknown, reason="a slip of the pen")
    assert states(ended) == {"check": "failed", "rollback": "upstream_failed"}
    assert own_log()[0].startswith(f"release {unknown} cannot be gone back to: it is not loaded\n")
    assert shelf.edge.release() == shelf.release


def test_a_run_without_a_partition(shelf: Shelf, own_log: Callable[[], list[str]]) -> None:
    """A run that stands for no day is refused before anything is computed."""
    ended = shelf.run("recommender_train")
    assert states(ended)["partition"] == "failed"
    assert states(ended)["extract"] == "upstream_failed"
    assert own_log()[0].startswith("this run has no partition\n  where: ")


def test_nothing_arrived(shelf: Shelf) -> None:
    """A day without a drop is skipped: nothing is announced, the live release stays."""
    drop = shelf.drop(shelf.days[2]).parent
    away = drop.rename(shelf.artifacts / "away")
    try:
        ended = shelf.run("recommender_train", partition=str(shelf.days[2]))
    finally:
        away.rename(drop)
    assert states(ended)["extract"] == states(ended)["announce"] == "skipped"
    assert shelf.edge.release() == shelf.release
