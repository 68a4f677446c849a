"""The cache: what it keeps, for how long, and what it never keeps."""

import gzip
import time
from collections.abc import Callable
from pathlib import Path

import redis

from schemas import keys
from schemas.environment import Node
from tests.deploy.nginx.conftest import MAX_AGE_S, Edge, Front, running_edge, running_front
from tests.waiting import until

StartFront = Callable[..., Front]

# After so long nothing that was kept is shown any more while a replica answers.
_GONE_S = 2 * MAX_AGE_S + 1


def _statuses(front: Front, path: str, times: int, name: str) -> list[str]:
    for number in range(times):
        assert front.get(path, X_Request_Id=f"{name}-{number:04}").status == 200
    return [front.logged(f"{name}-{number:04}")["cache"] for number in range(times)]


def test_an_answer_is_kept_by_path_and_arguments(front: Front) -> None:
    """The second time it comes from the cache; another limit, user or spelling is another entry."""
    path = "/v1/users/21/recommendations?limit=3"
    assert _statuses(front, path, 3, "kept") == ["MISS", "HIT", "HIT"]
    assert _statuses(front, "/v1/users/21/recommendations?limit=4", 1, "limit") == ["MISS"]
    assert _statuses(front, "/v1/users/22/recommendations?limit=3", 1, "user") == ["MISS"]
    assert len(front.get("/v1/users/21/recommendations?limit=3").json["items"]) == 3
    # An escaped question mark belongs to the path: it must not find, and must not leave, the entry of the real one.
    assert front.get("/v1/users/21/recommendations%3Flimit=3").status == 404
    assert front.get(path).status == 200


def test_a_head_and_a_get_share_an_entry(front: Front) -> None:
    """A HEAD fills the cache with the whole answer and gets no body."""
    head = front.get("/v1/books/17", method="HEAD")
    got = front.get("/v1/books/17", X_Request_Id="after-the-head")
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", got.headers["etag"])
    assert got.json["book_id"] == 17
    assert front.logged("after-the-head")["cache"] == "HIT"


def test_batches_and_problems_are_not_kept(front: Front) -> None:
    """A batch goes to a replica each time; so do a 400 and a 404."""
    for number, path in enumerate(
        ("/v1/recommendations?user_id=1", "/v1/users/x/recommendations", "/v1/books/999")
    ):
        for turn in "ab":
            front.get(path, X_Request_Id=f"not-kept-{number}{turn}")
        assert front.logged(f"not-kept-{number}b")["cache"] in {"", "MISS"}


def test_a_client_that_holds_the_answer_gets_a_304(front: Front) -> None:
    """From the cache and from a replica, by a strong or a weakened tag, on all kinds of lists; another tag gets 200."""
    for path in (
        "/v1/users/7/recommendations?limit=40",
        "/v1/books/5",
        "/v1/popular",
        "/v1/recommendations?user_id=3",
    ):
        tag = front.get(path).headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", W/{tag}'):
            answer = front.get(path, If_None_Match=known)
            assert (answer.status, answer.body) == (304, b""), (path, known)
            assert answer.headers["etag"].removeprefix("W/") == tag
        assert front.get(path, If_None_Match='"other"').status == 200


def test_large_answers_are_compressed_and_their_tags_still_match(front: Front) -> None:
    """Forty books are compressed, ten are not worth it; the weakened tag of the compressed one gives 304."""
    large, small = "/v1/users/8/recommendations?limit=40", "/v1/users/8/recommendations?limit=10"
    plain = front.get(large)
    packed = front.get(large, Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    assert packed.headers["etag"] == f"W/{plain.headers['etag']}"
    assert "Accept-Encoding" in packed.headers["vary"]
    assert front.get(large, If_None_Match=packed.headers["etag"]).status == 304
    assert "content-encoding" not in front.get(small, Accept_Encoding="gzip").headers


def test_an_old_answer_is_shown_while_a_new_one_is_fetched(front: Front) -> None:
    """Past max-age a client gets the old answer at once, and the cache is renewed behind its back."""
    path = "/v1/users/25/recommendations?limit=2"

    def shown_old() -> bool:
        assert front.get(path, X_Request_Id="background").status == 200
        return '"STALE"' in _lines(front, "background")

    until(shown_old, "an old answer is shown")
    until(lambda: _statuses(front, path, 5, "renewed")[-1] == "HIT", "the entry is renewed")


def _lines(front: Front, request_id: str) -> str:
    text = (front.folder / "logs" / "access.log").read_text()
    return "\n".join(line for line in text.splitlines() if request_id in line)


def test_a_flip_empties_the_cache_in_effect(
    redis_cluster: tuple[Node, ...], tmp_path: Path
) -> None:
    """Once max-age and stale-while-revalidate have passed after a flip, no answer is of the old release."""
    paths = [f"/v1/users/{user}/recommendations" for user in range(1, 11)]
    paths += ["/v1/popular", "/v1/popular?tag=fantasy", "/v1/books/3", "/v1/books/3/similar"]
    with (
        running_edge(redis_cluster, tmp_path / "edge") as edge,
        running_front(tmp_path / "nginx", edge.addresses) as front,
    ):
        old = {front.get(path).headers["x-release"] for path in paths}
        new = edge.go_live("2026-01-02", variant=1).release
        edge.wait(new)
        time.sleep(_GONE_S)
        for _ in range(3):
            assert {front.get(path).headers["x-release"] for path in paths} == {new}
        assert old != {new}


def test_answers_of_a_broken_store_are_never_kept(
    redis_cluster: tuple[Node, ...], tmp_path: Path
) -> None:
    """A fallback says no-store and is fetched anew each time; what is kept is shown again once the store is whole."""
    with (
        running_edge(redis_cluster, tmp_path / "edge", replicas=1) as edge,
        running_front(tmp_path / "nginx", edge.addresses) as front,
    ):
        catalog = keys.catalog(edge.settings.namespace)
        node = edge.settings.redis[0]
        with redis.RedisCluster(host=node.host, port=node.port) as store:
            held = store.dump(catalog)
            store.delete(catalog)
            path = "/v1/users/4/recommendations"
            until(lambda: front.get(path).json["reason"] == "no_release", "the fallback")
            assert front.get(path).headers["cache-control"] == "no-store"
            assert set(_statuses(front, path, 3, "degraded")) <= {"MISS", "EXPIRED"}
            assert _statuses(front, "/v1/users/6/recommendations", 3, "new") == ["MISS"] * 3
            assert held is not None
            store.restore(catalog, 0, held)
        until(lambda: front.get(path).json["source"] == "als", "a personal list")


def test_without_any_replica_the_last_answer_is_shown_or_a_problem(
    redis_cluster: tuple[Node, ...], tmp_path: Path
) -> None:
    """What is in the cache goes on being answered, past its age; what is not is a 503 with Retry-After."""
    with (
        running_edge(redis_cluster, tmp_path / "edge") as edge,
        running_front(tmp_path / "nginx", edge.addresses) as front,
    ):
        known = front.get("/v1/users/4/recommendations")
        edge.stop()
        time.sleep(_GONE_S)
        path = "/v1/users/4/recommendations"
        assert _statuses(front, path, 5, "last") == ["STALE"] * 5
        assert front.get(path).body == known.body
        missing = front.get("/v1/users/5/recommendations")
        assert (missing.status, missing.headers["retry-after"]) == (503, "1")
        assert missing.headers["content-type"] == "application/problem+json"
        assert missing.json["title"] == "Service Unavailable"
        assert front.get("/").status == 200


def test_the_cache_can_be_turned_off(start_front: StartFront) -> None:
    """Then every request goes to a replica, and 304 still works end to end."""
    front = start_front(nginx_cache=False)
    path = "/v1/users/9/recommendations"
    tag = front.get(path).headers["etag"]
    assert _statuses(front, path, 2, "uncached") == ["", ""]
    assert front.get(path, If_None_Match=tag).status == 304


def test_the_cache_lies_in_memory(front: Front, edge: Edge) -> None:
    """Its folder is in a tmpfs: on disk the tails were hundreds of milliseconds."""
    assert edge.replicas
    assert "proxy_cache_path /dev/shm/" in (front.folder / "nginx.conf").read_text()
