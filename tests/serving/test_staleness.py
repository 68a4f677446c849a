"""How old an answer may be: no pointer leads back in time, no cache outlives it."""

import json
import re
from collections.abc import Callable

import pytest
import redis

from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.settings import Settings
from schemas import keys
from serving.edge import _Kept
from tests.harness import store
from tests.serving.conftest import Replica, is_ready

GoLive = Callable[..., ReleaseFolder]


def _served(replica: Replica) -> tuple[str, str | None]:
    """Return release and reason of an answer."""
    content = json.loads(replica.get("/v1/users/7/recommendations").body)
    return content["release"], content["reason"]


def _refusals(replica: Replica) -> float:
    text = replica.get("/metrics").body.decode()
    found = re.search(r"^nightshelf_edge_pointer_refusals_total (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def test_a_pointer_that_went_back_in_time_while_it_was_gone_is_refused(
    replica: Replica, go_live: GoLive, settings: Settings
) -> None:
    """Gone and back with a lower generation, as after two failovers: nobody is taken back to the older release."""
    first = go_live().release
    replica.wait_for(is_ready)
    old = store.fields(settings)
    second = go_live("2026-01-02", variant=1).release
    replica.wait_for(lambda r: _served(r)[0] == second)
    with redis.RedisCluster(host=settings.redis[0].host, port=settings.redis[0].port) as cluster:
        cluster.delete(keys.registry("shelf"))
    replica.wait_for(lambda r: _served(r)[1] == "no_release")
    refused = _refusals(replica)
    store.put_back(settings, old)
    replica.wait_for(lambda r: _served(r)[0] == first or _refusals(r) > refused + 2)
    assert _served(replica) == (second, "no_release")


def test_no_cache_keeps_an_answer_for_longer_than_the_pointer_is_followed(
    replica: Replica, go_live: GoLive
) -> None:
    """Fresh, while renewed or while nobody answers: at most 30 s after the pointer was read."""
    go_live()
    replica.wait_for(is_ready)
    told = replica.get("/v1/users/7/recommendations").headers["Cache-Control"]
    fresh, renewing, alone = map(int, re.findall(r"=(\d+)", told))
    assert (fresh, renewing) == (5, 5)
    assert fresh + alone <= 30


@pytest.mark.parametrize(
    ("left_s", "told"), [(29, (5, 5, 24)), (7, (5, 2, 2)), (3, (3, 0, 0)), (0, (0, 0, 0))]
)
def test_what_a_cache_is_allowed_shrinks_with_the_age_of_the_pointer(
    left_s: int, told: tuple[int, int, int]
) -> None:
    """With the pointer unread, what is left of its 30 s is shared between fresh and stale."""
    name, value = _Kept(5)[left_s]
    assert name == b"cache-control"
    assert tuple(map(int, re.findall(rb"=(\d+)", value))) == told
