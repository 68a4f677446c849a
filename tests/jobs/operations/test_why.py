"""`nightshelf why`: from an answer back to the data."""

from dataclasses import replace

import pytest

from jobs.operations import canary, why
from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import BrokenInput, WrongUsage
from jobs.runtime.settings import Settings
from schemas.pointer import in_canary
from tests.harness import store
from tests.harness.releases import list_of, scores_of, write_release


def test_an_answer_is_followed_back_to_the_users_rows(
    artifacts: Artifacts, settings: Settings
) -> None:
    """Pointer, release, run, manifest, the list with titles and scores, the user's own ratings."""
    folder = write_release(artifacts.root, "2026-01-01")
    publish.run(folder, replace(settings, run_by="recommender_publish/run-7"))
    live = store.go_live(artifacts, settings, "2026-01-01")
    assert live == folder.release
    found = why.run(artifacts, settings, 7, limit=3)
    assert (found.release, found.generation, found.canary) == (live, 1, False)
    assert (found.source, found.reason) == ("als", None)
    assert [(i["book_id"], i["score"], i["title"]) for i in found.items] == [
        (book, score, f"Book {book}")
        for book, score in zip(list_of(7)[:3], scores_of()[:3], strict=True)
    ]
    assert [(r["book_id"], r["rating"], r["title"]) for r in found.ratings] == [(40, 5, "Book 40")]
    assert found.ratings[0]["arrived_at"].startswith("2026-01-01T12:00:00")
    assert found.run_by == "recommender_publish/run-7"
    assert found.manifest == str(folder.manifest)


def test_sources_are_those_that_http_names(artifacts: Artifacts, settings: Settings) -> None:
    """A popularity list for little history, an empty list for a rated catalogue, the popularity list for no list."""
    folder = write_release(artifacts.root, "2026-01-01", short_history=(7,), exhausted=(8,))
    publish.run(folder, settings)
    activate.run(artifacts, folder.release, settings)
    short, unknown = (why.run(artifacts, settings, user, limit=2) for user in (7, 99_999))
    nothing_left = why.run(artifacts, settings, 8)
    assert (nothing_left.source, nothing_left.reason) == ("als", "catalogue_exhausted")
    assert nothing_left.items == []
    assert (short.source, short.reason) == ("popularity", "short_history")
    assert (unknown.source, unknown.reason) == ("popularity", "unknown_user")
    assert [item["book_id"] for item in unknown.items] == list_of(0)[:2]
    assert unknown.ratings == []


def test_a_user_in_the_canary_is_told_so(artifacts: Artifacts, settings: Settings) -> None:
    """With half of the users in the canary the first of them gets the canary's list, the first other the live one."""
    live = store.go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02", variant=1)
    publish.run(folder, settings)
    canary.start(artifacts, settings, release=folder.release, share=0.5, by="ada", reason="x")
    inside = next(user for user in range(1, 31) if in_canary(user, 0.5))
    outside = next(user for user in range(1, 31) if not in_canary(user, 0.5))
    told = why.run(artifacts, settings, inside)
    assert (told.release, told.canary) == (folder.release, True)
    assert told.items[0]["book_id"] == list_of(inside, variant=1)[0]
    assert why.run(artifacts, settings, outside).release == live


def test_nothing_to_explain(artifacts: Artifacts, settings: Settings) -> None:
    """No live release; a live release whose values or files are gone."""
    with pytest.raises(WrongUsage, match="no release is live"):
        why.run(artifacts, settings, 7)
    live = store.go_live(artifacts, settings, "2026-01-01")
    artifacts.release(live).manifest.rename(artifacts.root / "elsewhere")
    with pytest.raises(BrokenInput, match=r"manifest\.json is missing"):
        why.run(artifacts, settings, 7)
    for key, told in (("popular", "popularity list"), ("meta", "live release")):
        with store.connected(settings) as cluster:
            cluster.delete(f"shelf:{live}:{key}")
        with pytest.raises(BrokenInput, match=f"the {told} is not in Redis"):
            why.run(artifacts, settings, 99_999)
