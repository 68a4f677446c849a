"""Retire: what goes, what stays, what others left behind."""

from dataclasses import replace

import pytest

from jobs.operations import releases, rollback
from jobs.pipeline import publish, retire
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from tests.harness import store
from tests.harness.releases import write_release


@pytest.fixture
def days(artifacts: Artifacts, settings: Settings) -> list[str]:
    """Five releases of five days, each live in its turn."""
    return [
        store.go_live(artifacts, settings, f"2026-01-0{day}", variant=day) for day in range(1, 6)
    ]


def test_the_newest_spare_releases_stay(settings: Settings, days: list[str]) -> None:
    """With two to keep, live, previous and the two before them stay."""
    outcome = retire.run(replace(settings, keep_releases=2))
    assert (outcome.retired, outcome.kept) == (days[:1], days[1:])
    assert not [key for key in store.all_keys(settings) if days[0] in key]
    assert retire.run(replace(settings, keep_releases=2)).retired == []


def test_a_loaded_release_that_was_never_live_counts_from_its_load(
    artifacts: Artifacts, settings: Settings
) -> None:
    """Within the grace time it stays."""
    store.go_live(artifacts, settings, "2026-01-02")
    folder = write_release(artifacts.root, "2026-01-01", variant=1)
    publish.run(folder, settings)
    none_spare = replace(settings, keep_releases=0)
    assert retire.run(replace(none_spare, retire_grace_s=3600)).retired == []
    assert retire.run(none_spare).retired == [folder.release]


def test_what_is_quarantined_is_not_kept_as_a_spare(
    artifacts: Artifacts, settings: Settings, days: list[str]
) -> None:
    """A release that can never be served again goes first, after the grace time: it may still be read."""
    rollback.run(artifacts, settings, to=None, by="ada", reason="odd")
    assert retire.run(replace(settings, keep_releases=9, retire_grace_s=3600)).retired == []
    assert retire.run(replace(settings, keep_releases=9)).retired == [days[-1]]
    assert releases.run(artifacts, settings).quarantined != {}


def test_keys_that_nobody_knows_go(artifacts: Artifacts, settings: Settings) -> None:
    """Leftovers of a release that the catalog does not know; other keys are not ours to remove."""
    live = store.go_live(artifacts, settings, "2026-01-02")
    with store.connected(settings) as cluster:
        cluster.hset("shelf:2025-01-01-0000000a:users:3", "1", "left behind")
        cluster.set("shelf:2025-01-01-0000000a:meta", "left behind")
        cluster.set("shelf:something:else", "not ours")
        cluster.set("other:2025-01-01-0000000a:meta", "not ours")
    outcome = retire.run(settings)
    assert (outcome.retired, outcome.keys_removed) == (["2025-01-01-0000000a"], 2)
    assert outcome.kept == [live]
    left = store.all_keys(settings)
    assert {"shelf:something:else", "other:2025-01-01-0000000a:meta"} <= left
    assert not [key for key in left if key.startswith("shelf:2025")]


def test_a_load_in_progress_is_left_alone(artifacts: Artifacts, settings: Settings) -> None:
    """While a publisher's lease runs its keys stay; when it died they go."""
    live = store.go_live(artifacts, settings, "2026-01-01")
    with store.connected(settings) as cluster:
        cluster.eval(  # what a publisher does first
            "return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])",
            1,
            store.CATALOG,
            "release:2026-01-02-0000000b",
            '{"state": "loading", "digest": "d", "partition": "2026-01-02", "token": "t", "holder": "x",'
            ' "since_ms": 1, "lease_until_ms": 9999999999999, "lease_ms": 9999999999999, "shape": [1, 1]}',
        )
        cluster.hset("shelf:2026-01-02-0000000b:users:0", "1", "value")
    assert retire.run(settings).retired == []
    store.end_leases(settings)
    outcome = retire.run(settings)
    assert (outcome.retired, outcome.keys_removed) == (["2026-01-02-0000000b"], 1)
    assert outcome.kept == [live]
