"""Replicas of different versions on one store: what they read, and what they do with what they cannot read."""

import asyncio
import json
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.cluster import RedisCluster

from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.settings import Settings
from jobs.store.cluster import connected
from schemas import keys
from schemas.environment import Node
from serving.edge import Edge
from serving.settings import Settings as EdgeSettings
from tests.harness.releases import write_release
from tests.serving.conftest import Replica, ending, is_ready, start_replica

_PATH = "/v1/users/7/recommendations"
_OLD_EDGE = Path(__file__).parent.parent / "frozen" / "edge_0.1.0.zip"


def _describe(settings: Settings, release: str, **changes: Any) -> None:
    """Change the description of a loaded release in Redis."""
    with connected(settings) as cluster:
        key = keys.meta(settings.namespace, release)
        described = json.loads(cluster.get(key))  # type: ignore[arg-type]  # a cluster without asyncio
        cluster.set(key, json.dumps({**described, **changes}))


def _relabel(settings: Settings, release: str, user: int, kind: int) -> None:
    """Give the list of a user another kind."""
    with connected(settings) as cluster:
        key, field = _place(cluster, settings.namespace, release, user)
        value: Any = cluster.hget(key, field)
        cluster.hset(key, field, bytes([kind]) + value[1:])


def _place(cluster: RedisCluster, namespace: str, release: str, user: int) -> tuple[str, str]:
    described: Any = cluster.get(keys.meta(namespace, release))
    buckets = json.loads(described)["user_buckets"]
    return f"{keys.users_prefix(namespace, release)}{keys.bucket(user, buckets)}", str(user)


def _answer(replica: Replica) -> Any:
    return json.loads(replica.get(_PATH).body)


def test_a_kind_of_a_later_version_has_the_name_that_its_release_gives_it(
    redis_nodes: tuple[Node, ...], settings: Settings, go_live: Callable[..., ReleaseFolder]
) -> None:
    """Unknown fields are ignored; source and reason come from the description; the tag works as for any list."""
    release = go_live().release
    named = {"0": {"source": "als"}, "9": {"source": "two-stage", "reason": None, "model": "x"}}
    _describe(settings, release, sources=named, ranker={"name": "x"})
    _relabel(settings, release, 7, 9)
    with ending(start_replica(redis_nodes)) as replica:
        replica.wait_for(is_ready)
        answer = replica.get(_PATH)
        found = json.loads(answer.body)
        assert (found["source"], found["reason"], found["release"]) == ("two-stage", None, release)
        assert replica.get(_PATH, If_None_Match=answer.headers["ETag"]).status == 304
        counted = replica.get("/metrics").body.decode()
        assert re.search(r'requests_total\{[^}]*source="two-stage"[^}]*\} [1-9]', counted)


def test_a_kind_without_a_name_is_no_short_history(
    redis_nodes: tuple[Node, ...], settings: Settings, go_live: Callable[..., ReleaseFolder]
) -> None:
    """The answer is a popularity list that says that the store is at fault."""
    release = go_live().release
    _relabel(settings, release, 7, 9)
    with ending(start_replica(redis_nodes)) as replica:
        replica.wait_for(is_ready)
        assert [_answer(replica)[name] for name in ("source", "reason")] == [
            "popularity",
            "store_unavailable",
        ]


def _go_live_as_format_2(settings: Settings, partition: str, variant: int) -> str:
    """Activate a release whose description is in a format of a later version."""
    folder = write_release(settings.artifacts, partition, variant=variant)
    publish.run(folder, settings)
    _describe(settings, folder.release, format=2)
    activate.run(Artifacts(settings.artifacts), folder.release, settings)
    return folder.release


def test_a_replica_that_starts_with_a_format_of_a_later_version_waits(
    redis_nodes: tuple[Node, ...], settings: Settings, go_live: Callable[..., ReleaseFolder]
) -> None:
    """It is alive and not ready, and says which release; the next release that it reads makes it ready."""
    unreadable = _go_live_as_format_2(settings, "2026-01-01", 1)
    with ending(start_replica(redis_nodes)) as replica:
        answer = replica.get("/readyz")
        assert (answer.status, replica.get(_PATH).status) == (503, 503)
        assert unreadable in json.loads(answer.body)["detail"]
        release = go_live("2026-01-02", variant=2).release
        replica.wait_for(is_ready)
        assert _answer(replica)["release"] == release


def test_a_format_of_a_later_version_leaves_what_was_served(
    settings: Settings, go_live: Callable[..., ReleaseFolder], caplog: pytest.LogCaptureFixture
) -> None:
    """The last release is served on with personal lists, the log says why once, and no canary takes its place."""
    first = go_live("2026-01-01").release
    second = asyncio.run(_follow_to_format_2(settings, first))
    said = [message for message in caplog.messages if second in message]
    assert len(said) == 1
    assert f"{first} stays" in said[0]


async def _follow_to_format_2(settings: Settings, first: str) -> str:
    edge = Edge(
        EdgeSettings(redis=settings.redis, lookup_deadline_ms=10_000, pointer_refresh_ms=20)
    )
    await edge.start()
    try:
        second = await asyncio.to_thread(_go_live_as_format_2, settings, "2026-01-02", 2)
        deadline = time.monotonic() + 60
        while edge.view.unreadable is None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert (edge.view.unreadable, edge.shelf().release) == (second, first)
        assert (await edge.user_list(edge.shelf(), 7, 3))[:2] == ("als", None)
        await asyncio.sleep(0.2)
    finally:
        await edge.stop()
    return second


def test_replicas_of_0_1_0_and_of_this_version_give_the_same_answers(
    redis_nodes: tuple[Node, ...],
    settings: Settings,
    go_live: Callable[..., ReleaseFolder],
    tmp_path: Path,
) -> None:
    """While the edge is upgraded both read the release that 0.1.0 loaded; the old one stays with it afterwards."""
    release = go_live("2026-01-01").release
    with connected(settings) as cluster:
        key = keys.meta(settings.namespace, release)
        described: Any = cluster.get(key)
        old = {k: v for k, v in json.loads(described).items() if k != "sources"}
        cluster.set(key, json.dumps(old, sort_keys=True, separators=(",", ":")))
    with zipfile.ZipFile(_OLD_EDGE) as packed:
        packed.extractall(tmp_path / "old")
    before = start_replica(redis_nodes, PYTHONPATH=str(tmp_path / "old"))
    with ending(before) as older, ending(start_replica(redis_nodes)) as newer:
        older.wait_for(is_ready)
        newer.wait_for(is_ready)
        paths = [f"/v1/users/{user}/recommendations?limit=3" for user in range(1, 30)]
        paths += ["/v1/popular", "/v1/books/3", "/v1/books/3/similar"]
        for path in paths:
            one, other = older.get(path), newer.get(path)
            assert (one.status, one.body, one.headers["ETag"]) == (
                other.status,
                other.body,
                other.headers["ETag"],
            ), path
        later = go_live("2026-01-02", variant=2).release
        newer.wait_for(lambda replica: _answer(replica)["release"] == later)
        assert _answer(older)["release"] == release
