"""More than one release at a time: a canary, driven by the command, and any loaded release read by name."""

import json
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.pipeline import publish
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.settings import Settings
from schemas.environment import Node, node_list
from serving.metrics import Metrics
from serving.shelf import EMPTY
from tests.harness import command_line
from tests.harness.releases import write_release
from tests.serving.conftest import Replica, ending, is_ready, start_replica

GoLive = Callable[..., ReleaseFolder]
Canary = Callable[..., dict[str, object]]

#: Those of the lists, 1 to 30, and as many again whom no release knows.
USERS = range(1, 61)


@pytest.fixture
def canary(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Canary:
    """`nightshelf canary`, as a function that returns what it prints."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(settings.artifacts))
    monkeypatch.setenv("NIGHTSHELF_REDIS", node_list(settings.redis))

    def do(*arguments: object) -> dict[str, object]:
        found = command_line.run(capsys, "canary", *arguments, "--by", "ada", "--reason", "compare")
        assert found.exit_code == 0, found.text
        return found.outcome

    return do


@pytest.fixture
def other(redis_nodes: tuple[Node, ...]) -> Iterator[Replica]:
    """A second replica before the same cluster."""
    with ending(start_replica(redis_nodes)) as running:
        yield running


def _loaded(settings: Settings, partition: str, variant: int) -> str:
    folder = write_release(settings.artifacts, partition, variant=variant)
    publish.run(folder, settings)
    return folder.release


def _release(replica: Replica, path: str) -> str:
    answer = replica.get(path)
    assert answer.status == 200
    release: str = json.loads(answer.body)["release"]
    assert answer.headers["X-Release"] == release
    return release


def _answered_by(replica: Replica, release: str) -> set[int]:
    """Return the users who are answered from a release."""
    return {
        user for user in USERS if _release(replica, f"/v1/users/{user}/recommendations") == release
    }


def _wait_for_generation(generation: object, *replicas: Replica) -> None:
    for replica in replicas:
        replica.wait_for(
            lambda one: json.loads(one.get("/healthz").body)["generation"] == generation
        )


def test_the_same_users_fall_to_a_canary_everywhere_and_every_time(
    replica: Replica, other: Replica, go_live: GoLive, settings: Settings, canary: Canary
) -> None:
    """On every replica and in every release; a greater share adds users, an end gives all back to the live one."""
    live = go_live().release
    first, second = _loaded(settings, "2026-01-02", 1), _loaded(settings, "2026-01-03", 2)
    chosen = []
    for release, share in ((first, 0.3), (second, 0.3), (second, 0.6)):
        outcome = canary("start", "--release", release, "--share", share)
        _wait_for_generation(outcome["generation"], replica, other)
        found = _answered_by(replica, release)
        assert _answered_by(replica, live) == set(USERS) - found
        assert _answered_by(other, release) == found
        chosen.append(found)
    assert chosen[0] == chosen[1] < chosen[2] < set(USERS)
    # 18 and 36 are expected of sixty; which ones is the hash's to say.
    assert 9 <= len(chosen[0]) <= 27 <= len(chosen[2]) <= 45
    _wait_for_generation(canary("stop")["generation"], replica, other)
    assert _answered_by(replica, live) == _answered_by(other, live) == set(USERS)


def test_only_single_look_ups_come_from_a_canary_until_it_is_promoted(
    replica: Replica, go_live: GoLive, settings: Settings, canary: Canary
) -> None:
    """With everybody in it, batches, popular lists and books are still the stable release's; promoted, nothing is."""
    live = go_live().release
    new = _loaded(settings, "2026-01-02", 1)
    outcome = canary("start", "--release", new, "--share", 1)
    _wait_for_generation(outcome["generation"], replica)
    batch = "/v1/recommendations?user_id=7&user_id=777"
    stable = (batch, "/v1/popular", "/v1/popular?tag=fantasy", "/v1/books/3/similar")
    card = "/v1/books/3"
    assert _release(replica, "/v1/users/7/recommendations") == new
    assert [_release(replica, path) for path in stable] == [live] * 4
    assert replica.get(card).headers["X-Release"] == live
    parts = json.loads(replica.get(batch).body)["results"]
    assert [part["release"] for part in parts] == [live, live]
    promoted = canary("promote")
    assert (promoted["release"], promoted["previous"]) == (new, live)
    _wait_for_generation(promoted["generation"], replica)
    everything = ("/v1/users/7/recommendations", *stable)
    assert [_release(replica, path) for path in everything] == [new] * 5
    assert replica.get(card).headers["X-Release"] == new


def test_any_loaded_release_can_be_read(
    replica: Replica, go_live: GoLive, settings: Settings
) -> None:
    """`release=` reads a loaded release without caching; one that is not loaded gives 404."""
    live = go_live().release
    replica.wait_for(is_ready)
    folder = write_release(settings.artifacts, "2026-01-02", variant=1)
    path = f"/v1/users/7/recommendations?release={folder.release}"
    assert replica.get(path).status == 404
    publish.run(folder, settings)
    answer = replica.get(path)
    assert json.loads(answer.body)["release"] == folder.release
    assert answer.headers["Cache-Control"] == "no-store"
    named = replica.get(f"/v1/users/7/recommendations?release={live}")
    assert (json.loads(named.body)["release"], named.headers["Cache-Control"]) == (live, "no-store")


def _counted(replica: Replica, sample: str) -> dict[tuple[str, ...], float]:
    """Return a sample of single look-ups by release, and by arm where it has one."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(replica.get("/metrics").body.decode()):
        for one in family.samples:
            if one.name == sample and one.labels["route"] == "recommendations":
                key = (one.labels["release"], *filter(None, [one.labels.get("arm")]))
                found[key] = found.get(key, 0) + one.value
    return found


def test_answers_are_counted_and_timed_by_release(
    replica: Replica, go_live: GoLive, settings: Settings, canary: Canary
) -> None:
    """Each release has its own numbers, and what a client asked for by name is not taken for a canary's."""
    live = go_live().release
    new = _loaded(settings, "2026-01-02", 1)
    outcome = canary("start", "--release", new, "--share", 0.5)
    _wait_for_generation(outcome["generation"], replica)
    theirs = len(_answered_by(replica, new))
    for _ in range(3):
        replica.get(f"/v1/users/7/recommendations?release={new}")
    assert _counted(replica, "nightshelf_edge_requests_total") == {
        (live, "live"): len(USERS) - theirs,
        (new, "canary"): theirs,
        (new, "named"): 3,
    }
    assert _counted(replica, "nightshelf_edge_request_duration_seconds_count") == {
        (live,): len(USERS) - theirs,
        (new,): theirs + 3,
    }


def test_releases_of_long_ago_have_no_series_any_more() -> None:
    """A replica that lives through twenty releases shows the newest four; a known series goes on counting."""
    metrics = Metrics(lambda: EMPTY, "here")
    for day in range(20):
        for _ in range(2):
            series = metrics.series("recommendations", 200, "als", "", "live", f"day-{day}")
            series.answered(0.001)
    found = {
        (sample.name, sample.labels["release"]): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name.endswith(("requests_total", "request_duration_seconds_count"))
    }
    assert found == {
        (f"nightshelf_edge_{name}", f"day-{day}"): 2
        for name in ("requests_total", "request_duration_seconds_count")
        for day in range(16, 20)
    }
