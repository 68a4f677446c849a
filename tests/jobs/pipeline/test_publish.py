"""Publish: the gates, two publishers at once, and a Redis that is in the way."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.cluster import RedisCluster

from jobs.operations import audit, releases
from jobs.pipeline import activate, publish
from jobs.release import history, journal, manifest
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.errors import BrokenInput, GateRefused, TryLater
from jobs.runtime.files import write_json
from jobs.runtime.settings import Settings
from jobs.runtime.table_files import write_table
from jobs.store import loading
from jobs.validation import result
from schemas import tables
from schemas.environment import Node
from tests.harness import store
from tests.harness.releases import pass_checks, write_release


def test_a_failed_check_is_not_loaded(artifacts: Artifacts, settings: Settings) -> None:
    """A table whose validation failed, or which changed since, stops here; nothing reaches Redis; it is journalled."""
    folder = write_release(artifacts.root, "2026-01-01")
    passed = result.read(folder, "interactions")
    assert passed is not None
    failed = replace(passed, status="failed")
    result.write(folder, failed, {})
    with pytest.raises(GateRefused, match="interactions: validation failed"):
        publish.run(folder, settings)
    assert store.all_keys(settings) == set()
    assert not folder.manifest.exists()
    entries = journal.read(artifacts.journal)
    assert [(e["action"], e["to"]) for e in entries] == [("refusal", folder.release)]


def test_a_stop_is_quarantined(artifacts: Artifacts, settings: Settings) -> None:
    """The lists of a stopped release are barred by their digest: the same lists of another day are refused too."""
    folder = write_release(artifacts.root, "2026-01-01", verdict="stop")
    with pytest.raises(GateRefused, match="stop"):
        publish.run(folder, settings)
    same = write_release(artifacts.root, "2026-01-02")
    with pytest.raises(GateRefused, match="quarantined"):
        publish.run(same, settings)
    assert releases.run(artifacts, settings).loaded == {}
    other = write_release(artifacts.root, "2026-01-02", variant=1)
    publish.run(other, settings)


def test_a_stop_without_redis_is_still_a_stop(artifacts: Artifacts, settings: Settings) -> None:
    """The gate answers, the quarantine stands in the journal and reaches Redis with the next command."""
    folder = write_release(artifacts.root, "2026-01-01", verdict="stop")
    nowhere = replace(settings, redis=(Node("127.0.0.1", 1),))
    with pytest.raises(GateRefused, match="next command"):
        publish.run(folder, nowhere)
    publish.run(write_release(artifacts.root, "2026-01-02", variant=1), settings)
    digest = manifest.digest(manifest.digests(folder))
    assert set(releases.run(artifacts, settings).quarantined) == {digest}


def test_a_stop_on_the_live_lists_leaves_them_live(
    artifacts: Artifacts, settings: Settings
) -> None:
    """A later release with the very lists that are live is stopped: these stay, also after a wipe."""
    live = store.go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02", verdict="stop")
    with pytest.raises(GateRefused, match="same lists are live"):
        publish.run(folder, settings)
    found = releases.run(artifacts, settings)
    assert (found.live, found.quarantined) == (live, {})
    assert history.fold(journal.read(artifacts.journal)).quarantine == {}


def test_a_stop_before_there_are_lists(artifacts: Artifacts, settings: Settings) -> None:
    """Nothing to quarantine, still refused."""
    folder = write_release(artifacts.root, "2026-01-01", verdict="stop")
    folder.lists.unlink()
    with pytest.raises(GateRefused, match="no lists"):
        publish.run(folder, settings)


def test_a_decision_about_another_release_is_refused(
    artifacts: Artifacts, settings: Settings
) -> None:
    """A decision file that was copied from elsewhere lets nothing through."""
    folder = write_release(artifacts.root, "2026-01-01")
    decision = json.loads(folder.decision.read_text())
    write_json(folder.decision, {**decision, "release": "2026-01-02-00000000"})
    with pytest.raises(BrokenInput, match="about release 2026-01-02"):
        publish.run(folder, settings)


@pytest.mark.parametrize(
    "name", ["decision", "evaluation", "inputs", "lists", "popularity", "books"]
)
def test_a_missing_file_is_named(artifacts: Artifacts, settings: Settings, name: str) -> None:
    """Each file that publish needs is asked for by name, with the step that writes it."""
    folder = write_release(artifacts.root, "2026-01-01")
    path: Path = getattr(folder, name)
    path.unlink()
    pass_checks(folder)
    with pytest.raises(BrokenInput, match=rf"{path.name} is missing[\s\S]*run `nightshelf"):
        publish.run(folder, settings)


def test_files_that_changed_after_the_manifest_are_refused(
    artifacts: Artifacts, settings: Settings
) -> None:
    """Even with checks that passed anew: a release never changes."""
    folder = write_release(artifacts.root, "2026-01-01")
    publish.run(folder, settings)
    write_table(folder.lists, tables.LISTS.empty_table(), tables.LISTS)
    pass_checks(folder)
    with pytest.raises(BrokenInput, match=r"lists\.parquet changed"):
        publish.run(folder, settings)


def test_other_lists_under_a_loaded_id_are_a_conflict(
    artifacts: Artifacts, settings: Settings, tmp_path: Path
) -> None:
    """The same id from another artifacts folder with other lists does not replace what is loaded."""
    folder = write_release(artifacts.root, "2026-01-01")
    publish.run(folder, settings)
    elsewhere = write_release(tmp_path / "elsewhere", "2026-01-01")
    write_table(elsewhere.popularity, tables.POPULARITY.empty_table(), tables.POPULARITY)
    pass_checks(elsewhere)
    with pytest.raises(BrokenInput, match="other lists are loaded"):
        publish.run(elsewhere, settings)


def _publish(root: Path, release: str, settings: Settings, rate: int) -> None:
    publish.run(Artifacts(root).release(release), settings, rate=rate)


def test_of_two_publishers_one_loads(artifacts: Artifacts, settings: Settings) -> None:
    """Others are told who is loading and since when; the first one killed, its rest goes and the second loads."""
    first = write_release(artifacts.root, "2026-01-01")
    second = write_release(artifacts.root, "2026-01-02", variant=1)
    slow = multiprocessing.get_context("spawn").Process(
        target=_publish, args=(artifacts.root, first.release, settings, 1)
    )
    slow.start()
    prefix = f"shelf:{first.release}"
    while not any(key.startswith(prefix) for key in store.all_keys(settings)):
        assert slow.is_alive()
    told = rf"pid {slow.pid}\) is loading release {first.release} since 20"
    with pytest.raises(TryLater, match=told):
        publish.run(second, settings)
    with pytest.raises(TryLater, match=told):
        publish.run(first, settings)
    slow.kill()
    slow.join()
    store.end_leases(settings)
    assert not publish.run(second, settings).already_loaded
    assert releases.run(artifacts, settings).loaded == {second.release: "verified"}
    assert not any(key.startswith(prefix) for key in store.all_keys(settings))


def test_an_overtaken_publisher_stops(
    artifacts: Artifacts, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held up past its lease in the middle of its load, it finds the other one's release and leaves it alone."""
    folder = write_release(artifacts.root, "2026-01-01")
    load = loading.load

    def held_up(*args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(loading, "load", load)
        load(*args, **kwargs)
        store.end_leases(settings)
        assert not publish.run(folder, settings).already_loaded

    monkeypatch.setattr(loading, "load", held_up)
    with pytest.raises(TryLater, match="taken over"):
        publish.run(folder, settings)
    assert releases.run(artifacts, settings).loaded == {folder.release: "verified"}


def test_what_was_lost_on_the_way_is_written_again(
    artifacts: Artifacts, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failover in mid-load loses values that were acknowledged: the read-back finds and mends them."""
    folder = write_release(artifacts.root, "2026-01-01")
    load = loading.load

    def and_lose(cluster: Any, *args: Any, **kwargs: Any) -> None:
        load(cluster, *args, **kwargs)
        cluster.hdel(f"shelf:{folder.release}:users:0", "7", "8")

    monkeypatch.setattr(loading, "load", and_lose)
    assert publish.run(folder, settings).rewritten == 1
    assert audit.run(artifacts, settings, release=folder.release, sample=None).differing == 0


def test_a_value_that_somebody_else_keeps_writing_is_never_verified(
    artifacts: Artifacts, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer in the namespace: the read-back tells which field, the release is given up."""
    folder = write_release(artifacts.root, "2026-01-01")
    differences = loading.differences

    def and_another_writer(cluster: Any, *args: Any, **kwargs: Any) -> Any:
        cluster.hset(f"shelf:{folder.release}:users:0", "7", b"other")
        return differences(cluster, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(loading, "differences", and_another_writer)
        with pytest.raises(TryLater, match=r"1 values differ again[\s\S]*users:0 7"):
            publish.run(folder, settings)
    assert releases.run(artifacts, settings).loaded == {folder.release: "retiring"}
    publish.run(folder, settings)


def test_a_failed_load_does_not_block_the_next(
    artifacts: Artifacts, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in mid-load gives the lease back at once, so that a retry need not wait for it."""
    live = store.go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02", variant=1)

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(loading, "differences", fail)
        with pytest.raises(RuntimeError, match="a defect"):
            publish.run(folder, settings)
    assert releases.run(artifacts, settings).live == live
    publish.run(write_release(artifacts.root, "2026-01-03", variant=2), settings)
    assert folder.release not in releases.run(artifacts, settings).loaded


def test_a_redis_that_takes_no_writes(artifacts: Artifacts, settings: Settings) -> None:
    """Read-only nodes (here: they demand Redis replicas that are not there) end in advice, the live release stays."""
    live = store.go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02", variant=1)
    store.configure(settings, "min-replicas-to-write", 1)
    try:
        with pytest.raises(TryLater, match="takes no writes"):
            publish.run(folder, settings)
        assert releases.run(artifacts, settings).live == live
    finally:
        store.configure(settings, "min-replicas-to-write", 0)
    assert not publish.run(folder, settings).already_loaded


def test_a_full_redis_in_mid_load(
    artifacts: Artifacts, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit `maxmemory` is met half-way through: advice, live untouched, the next publish begins at once."""
    live = store.go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02", variant=1)
    monkeypatch.setattr(loading, "_PIPELINE", 1)
    pipeline: Any = RedisCluster.pipeline
    calls = 0

    def fill_up(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            store.configure(settings, "maxmemory", 1)
        return pipeline(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(RedisCluster, "pipeline", fill_up)
        with pytest.raises(TryLater, match=r"out of memory[\s\S]*nightshelf retire"):
            publish.run(folder, settings)
    found = releases.run(artifacts, settings)
    assert (found.live, found.loaded[folder.release]) == (live, "retiring")
    store.configure(settings, "maxmemory", 0)
    assert not publish.run(folder, settings).already_loaded


def test_a_full_disk_loses_nothing(artifacts: Artifacts, settings: Settings) -> None:
    """Where the journal cannot be written, nothing is told to Redis."""
    live = store.go_live(artifacts, settings, "2026-01-01")
    folder = write_release(artifacts.root, "2026-01-02", variant=1)
    publish.run(folder, settings)
    before = store.fields(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.link", _full)
        with pytest.raises(TryLater, match="disk is full"):
            activate.run(artifacts, folder.release, settings)
    assert store.fields(settings) == before
    assert releases.run(artifacts, settings).live == live


def _full(_source: Path, _target: Path) -> None:
    raise OSError(28, "No space left on device")
