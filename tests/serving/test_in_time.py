"""What a client waits for ends with its deadline: NGINX leaves a replica alone that is silent for long."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from schemas import keys
from schemas.environment import Node
from serving import client
from serving.edge import Edge, Unavailable, named_shelf
from tests.conftest import running_cluster
from tests.harness import store
from tests.serving.conftest import knowing_edge

T = TypeVar("T")

#: So long a probe may take here, so long a client may wait, and no busy machine takes one for the other.
_PROBE_S, _PATIENCE_S = 120.0, 30.0
_DEADLINE_MS = 4000
_STRANGERS = range(10_000, 10_500)


def _holders(settings: Settings) -> Callable[[str], Node]:
    """Return a function that names the node that holds a key, without asking any."""
    with store.connected(settings) as cluster:
        return lambda key: Node(settings.redis[0].host, int(cluster.get_node_from_key(key).port))


def _asked_frozen(settings: Settings, node: Node, ask: Callable[[Edge], Awaitable[T]]) -> T:
    """Return what an edge that knows the live release answers while a node is frozen."""

    async def main() -> T:
        async with knowing_edge(settings, _DEADLINE_MS) as edge:
            with store.frozen(node):
                async with asyncio.timeout(_PATIENCE_S):
                    return await ask(edge)

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def _slow_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PROBE_TIMEOUT_S", _PROBE_S)


def test_an_unknown_user_does_not_wait_for_the_description(tmp_path: Path) -> None:
    """Who has no list gets the fallback after one deadline while the node that would say so is frozen."""
    with running_cluster(tmp_path / "redis") as nodes:
        settings = Settings(artifacts=tmp_path / "artifacts", redis=nodes)
        release = store.go_live(Artifacts(settings.artifacts), settings, "2026-01-01")
        holder = _holders(settings)
        node = holder(keys.meta("shelf", release))

        async def ask(edge: Edge) -> tuple[str, str | None, float]:
            shelf = edge.shelf()
            buckets = shelf.meta.user_buckets
            stranger = next(
                user
                for user in _STRANGERS
                if holder(f"{shelf.users_prefix}{user % buckets}") != node
            )
            started = time.monotonic()
            source, reason, _ = await edge.user_list(shelf, stranger, 10)
            return source, reason, time.monotonic() - started

        source, reason, waited_s = _asked_frozen(settings, node, ask)
    assert (source, reason) == ("popularity", "store_unavailable")
    assert waited_s < 2 * _DEADLINE_MS / 1000


def test_a_named_release_does_not_wait_for_the_catalog(tmp_path: Path) -> None:
    """While the node with the catalog is frozen, whether a release is loaded is not known, within four deadlines."""
    with running_cluster(tmp_path / "redis") as nodes:
        settings = Settings(artifacts=tmp_path / "artifacts", redis=nodes)
        store.go_live(Artifacts(settings.artifacts), settings, "2026-01-01")

        async def ask(edge: Edge) -> None:
            with pytest.raises(Unavailable, match="2025-12-31-00000000"):
                await named_shelf(edge, "2025-12-31-00000000")

        _asked_frozen(settings, _holders(settings)(store.CATALOG), ask)
