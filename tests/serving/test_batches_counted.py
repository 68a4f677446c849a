"""The lists of a batch are counted as those that are asked for one by one, and alerts see them."""

from contextlib import ExitStack
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from tests.conftest import running_cluster
from tests.harness import promtool, store
from tests.serving.conftest import Replica, ending, is_ready, start_replica

#: Users of the small release, and one that nobody knows.
_KNOWN = 30
_BATCH = "/v1/recommendations?" + "&".join(f"user_id={user}" for user in range(1, _KNOWN + 1))
_STRANGER = "&user_id=999999"


def _scrape(replica: Replica) -> str:
    return replica.get("/metrics").body.decode()


def _counted(text: str, family: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return a counter's values of the batch route by some of its labels."""
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for one in text_string_to_metric_families(text)
        for sample in one.samples
        if sample.name == family and sample.labels["route"] == "batch"
    }


def test_only_batches_are_asked_and_the_alerts_see_what_they_get(tmp_path: Path) -> None:
    """Each list counts by source and reason, each batch once by status and time; without Redis three alerts fire."""
    with ExitStack() as stack:
        redis = stack.enter_context(ExitStack())
        nodes = redis.enter_context(running_cluster(tmp_path / "redis"))
        settings = Settings(artifacts=tmp_path / "artifacts", redis=nodes)
        store.go_live(Artifacts(settings.artifacts), settings, "2026-01-01")
        replica = stack.enter_context(ending(start_replica(nodes)))
        replica.wait_for(is_ready)
        empty = _scrape(replica)
        for _ in range(4):
            assert replica.get(_BATCH + _STRANGER).status == 200
        well = _scrape(replica)
        redis.close()
        assert replica.get(_BATCH).status == 200
        for _ in range(4):
            assert replica.get(_BATCH + _STRANGER).status == 200
        gone = _scrape(replica)
    lists = "nightshelf_edge_batch_lists_total"
    assert _counted(well, lists, "source", "reason") == {
        ("als", ""): 4 * _KNOWN,
        ("popularity", "unknown_user"): 4,
    }
    fallback = _counted(gone, lists, "source", "reason")["popularity", "store_unavailable"]
    assert fallback == 5 * _KNOWN + 4
    requests, seconds = "nightshelf_edge_requests_total", "nightshelf_edge_request_duration_seconds"
    assert _counted(gone, requests, "status", "source", "reason") == {("200", "", ""): 9}
    assert sum(_counted(gone, f"{seconds}_count", "release").values()) == 9
    kinds = [
        ("FallbackShareHigh", "warning"),
        ("FallbackShareHigh", "critical"),
        ("MissRateHigh", "warning"),
        ("MissRateHigh", "critical"),
        ("PersonalShareBurnFast", "critical"),
    ]
    for before, after, fires in ((empty, well, False), (well, gone, True)):
        others = {("ErrorRateHigh", "warning"): False, ("AvailabilityBurnFast", "critical"): False}
        promtool.check(tmp_path, before, after, dict.fromkeys(kinds, fires) | others)
