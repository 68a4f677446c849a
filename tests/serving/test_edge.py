"""An edge replica as its clients see it."""

import asyncio
import http.client
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from jobs.operations import rollback
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.settings import Settings
from schemas import keys
from tests.harness.releases import list_of, scores_of
from tests.harness.store import connected
from tests.serving.conftest import Replica, is_ready, knowing_edge

GoLive = Callable[..., ReleaseFolder]

_PROBLEM = "application/problem+json"


def _ready(replica: Replica, go_live: GoLive, **choices: object) -> str:
    folder = go_live(**choices)
    replica.wait_for(is_ready)
    return folder.release


def _recommended(replica: Replica, user: int, query: str = "") -> dict[str, object]:
    answer = replica.get(f"/v1/users/{user}/recommendations{query}")
    assert answer.status == 200
    content: dict[str, object] = json.loads(answer.body)
    assert answer.headers["X-Release"] == content["release"]
    assert answer.headers["X-Source"] == content["source"]
    return content


def test_a_known_user_gets_their_list(replica: Replica, go_live: GoLive) -> None:
    """The stored list in order, with the release, source als and no reason."""
    release = _ready(replica, go_live)
    content = _recommended(replica, 7, "?limit=3")
    assert content == {
        "user_id": 7,
        "release": release,
        "source": "als",
        "reason": None,
        "items": [
            {"book_id": book, "score": float(f"{score:.4g}")}
            for book, score in zip(list_of(7)[:3], scores_of()[:3], strict=True)
        ],
    }


def test_a_user_who_has_rated_everything(replica: Replica, go_live: GoLive) -> None:
    """An empty list with its engine or popularity as source and its reason, alone and in a batch; cacheable, tagged."""
    release = _ready(replica, go_live, exhausted=(7, 8), short_history=(8,))
    for user, source in ((7, "als"), (8, "popularity")):
        expected = {
            "user_id": user,
            "release": release,
            "source": source,
            "reason": "catalogue_exhausted",
            "items": [],
        }
        path = f"/v1/users/{user}/recommendations"
        assert _recommended(replica, user) == expected
        batch = json.loads(replica.get(f"/v1/recommendations?user_id={user}&user_id=9").body)
        assert batch["results"][0] == expected
        answer = replica.get(path)
        assert answer.headers["Cache-Control"].startswith("public")
        assert replica.get(path, If_None_Match=answer.headers["ETag"]).status == 304
    counted = f'arm="live",reason="catalogue_exhausted",release="{release}"'
    counted += ',route="recommendations",source="als",status="200"'
    assert f"requests_total{{{counted}}} 2.0" in replica.get("/metrics").body.decode()


@pytest.mark.parametrize("path", ["/v1/users/7/recommendations", "/v1/popular", "/v1/books/3"])
def test_two_lines_of_if_none_match_are_one_list(
    replica: Replica, go_live: GoLive, path: str
) -> None:
    """The tag may stand in any line, weak or strong, alone or among others; lines without it give the body."""
    _ready(replica, go_live)
    tag = replica.get(path).headers["ETag"]
    port = int(replica.base.rsplit(":", 1)[1])
    for lines, status in (
        ([f'"a", W/{tag}'], 304),
        (['"a"', tag], 304),
        ([tag, '"a"'], 304),
        (['"a"', '"b"', f'"c", W/{tag}'], 304),
        (['"a"', '"b"'], 200),
    ):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.putrequest("GET", path)
            for line in lines:
                connection.putheader("If-None-Match", line)
            connection.endheaders()
            assert connection.getresponse().status == status, lines


def test_the_default_limit_is_ten_and_a_short_list_stays_short(
    replica: Replica, go_live: GoLive
) -> None:
    """Without a limit ten books come; a limit above the stored length gives what there is."""
    _ready(replica, go_live)
    assert len(_recommended(replica, 7)["items"]) == 10  # type: ignore[arg-type]
    assert len(_recommended(replica, 7, "?limit=100")["items"]) == 10  # type: ignore[arg-type]


def test_an_unknown_user_gets_the_popularity_list_and_its_reason(
    replica: Replica, go_live: GoLive
) -> None:
    """No error: 200, source popularity, reason unknown_user, cacheable."""
    _ready(replica, go_live)
    content = _recommended(replica, 99999)
    assert (content["source"], content["reason"]) == ("popularity", "unknown_user")
    assert [item["book_id"] for item in content["items"]] == list_of(0)  # type: ignore[attr-defined]
    assert "max-age" in replica.get("/v1/users/99999/recommendations").headers["Cache-Control"]


def test_a_user_with_a_short_history_is_told_so(replica: Replica, go_live: GoLive) -> None:
    """A stored list that is not personal says popularity and short_history."""
    _ready(replica, go_live, short_history=(5,))
    content = _recommended(replica, 5)
    assert (content["source"], content["reason"]) == ("popularity", "short_history")


def test_a_list_says_which_engine_made_it(replica: Replica, go_live: GoLive) -> None:
    """A release of EASE says so, without a reason, and its tag is answered with 304 before any look-up."""
    _ready(replica, go_live, engine="ease")
    content = _recommended(replica, 7)
    assert (content["source"], content["reason"]) == ("ease", None)
    path = "/v1/users/7/recommendations"
    tag = replica.get(path).headers["ETag"]
    again = replica.get(path, If_None_Match=tag)
    assert (again.status, again.headers["X-Source"], again.headers["ETag"]) == (304, "ease", tag)


def test_a_lost_hash_is_not_told_as_an_unknown_user(
    replica: Replica, go_live: GoLive, settings: Settings
) -> None:
    """When a user's hash is gone from Redis, the answer says store_unavailable and is not cached."""
    release = _ready(replica, go_live)
    with connected(settings) as cluster:
        cluster.delete(f"{keys.users_prefix('shelf', release)}0")
    answer = replica.get("/v1/users/7/recommendations")
    assert json.loads(answer.body)["reason"] == "store_unavailable"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_release_that_is_being_restored_knows_everybody(
    replica: Replica, go_live: GoLive, settings: Settings
) -> None:
    """While its description, which is written last, is missing, nobody is told as unknown."""
    release = _ready(replica, go_live)
    with connected(settings) as cluster:
        cluster.delete(keys.meta("shelf", release))
        cluster.hdel(f"{keys.users_prefix('shelf', release)}0", "7")
    assert _recommended(replica, 7)["reason"] == "store_unavailable"


def test_a_list_that_is_loaded_between_two_questions_is_found(
    go_live: GoLive, settings: Settings
) -> None:
    """A hash that is restored right after the first look-up found nothing is not told as one without the user."""
    release = go_live().release
    key = f"{keys.users_prefix('shelf', release)}0"

    async def main() -> bytes | None:
        async with knowing_edge(settings, 10_000) as edge:
            shelf, asked = edge.shelf(), edge.lookups.ask
            with connected(settings) as cluster:
                held: dict[Any, Any] = cluster.hgetall(key)
                cluster.delete(key)

                def restored_meanwhile(*command: str) -> asyncio.Future[Any]:
                    found = asked(*command)
                    found.add_done_callback(lambda _: cluster.hset(key, mapping=held))
                    return found

                edge.lookups.ask = restored_meanwhile  # type: ignore[method-assign]
                return await edge.value(shelf, shelf.users_prefix, shelf.meta.user_buckets, 7)

    assert asyncio.run(main()) is not None


def test_without_a_pointer_the_list_in_memory_answers(
    replica: Replica, go_live: GoLive, settings: Settings
) -> None:
    """Once the catalog is gone every user gets the popularity list with reason no_release."""
    _ready(replica, go_live)
    with connected(settings) as cluster:
        cluster.delete(keys.registry("shelf"))
    replica.wait_for(lambda r: _recommended(r, 7)["reason"] == "no_release")
    assert replica.get("/v1/users/7/recommendations").headers["Cache-Control"] == "no-store"


def test_the_pointer_is_followed(replica: Replica, go_live: GoLive, settings: Settings) -> None:
    """An activation and a rollback reach the replica within its refresh."""
    first = _ready(replica, go_live)
    second = go_live("2026-01-02", variant=1).release
    replica.wait_for(lambda r: _recommended(r, 7)["release"] == second)
    rollback.run(Artifacts(settings.artifacts), settings, to=None, by="ada", reason="odd")
    replica.wait_for(lambda r: _recommended(r, 7)["release"] == first)


def test_a_tag_is_answered_with_304(replica: Replica, go_live: GoLive) -> None:
    """The tag of an answer, weak or strong, alone or in a list, gives 304 without a body; another one 200."""
    _ready(replica, go_live)
    path = "/v1/users/7/recommendations"
    tag = replica.get(path).headers["ETag"]
    for asked in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = replica.get(path, If_None_Match=asked)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
    assert replica.get(path, If_None_Match='"x"').status == 200
    assert replica.get(f"{path}?limit=9", If_None_Match=tag).status == 200


def test_head_answers_like_get_without_a_body(replica: Replica, go_live: GoLive) -> None:
    """Status and headers are those of GET."""
    _ready(replica, go_live)
    for path in ("/v1/users/7/recommendations", "/v1/popular", "/v1/books/1", "/healthz"):
        get, head = replica.get(path), replica.get(path, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(get.body))


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/users/abc/recommendations", "user_id"),
        ("/v1/users/-1/recommendations", "user_id"),
        ("/v1/users/0/recommendations", "user_id"),
        ("/v1/users/2147483648/recommendations", "user_id"),
        ("/v1/users/99999999999999999999999/recommendations", "user_id"),
        ("/v1/users/%D9%A3/recommendations", "user_id"),
        ("/v1/users/7/recommendations?limit=0", "limit"),
        ("/v1/users/7/recommendations?limit=101", "limit"),
        ("/v1/users/7/recommendations?limit=", "limit"),
        ("/v1/users/7/recommendations?limit=ten", "limit"),
        ("/v1/users/7/recommendations?limit=5&limit=6", "limit"),
        ("/v1/users/7/recommendations?colour=red", "colour"),
        ("/v1/users/7/recommendations?release=latest", "release"),
        ("/v1/recommendations", "user_id"),
        ("/v1/recommendations?user_id=1&user_id=1", "user_id"),
        ("/v1/recommendations?" + "&".join(f"user_id={n}" for n in range(1, 102)), "user_id"),
        ("/v1/popular?tag=No%20Such", "tag"),
        ("/v1/books/x", "book_id"),
        ("/v1/books/1?limit=3", "limit"),
        ("/v1/books/1/similar?limit=-1", "limit"),
    ],
)
def test_a_bad_parameter_is_named(replica: Replica, path: str, field: str) -> None:
    """400 as a problem with the parameter's name, also before any release is known."""
    answer = replica.get(path)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert json.loads(answer.body)["field"] == field


def test_other_methods_and_paths_are_refused(replica: Replica) -> None:
    """405 with Allow, 404; both as problems."""
    for path in ("/v1/users/7/recommendations", "/v1/popular"):
        answer = replica.get(path, method="POST")
        assert answer.status == 405
        assert set(answer.headers["Allow"].replace(" ", "").split(",")) == {"GET", "HEAD"}
        assert answer.headers["Content-Type"] == "application/problem+json"
    for path in ("/v1/nothing", "/v1/popular/", "/v1/books/3/", "/v1/books/3%0d%0a/", "/healthz/"):
        answer = replica.get(path)
        assert (answer.status, answer.headers["Content-Type"]) == (404, _PROBLEM), path


def test_books_and_popular_lists(replica: Replica, go_live: GoLive) -> None:
    """Cards, similar books and genre lists come as they were published."""
    _ready(replica, go_live)
    card = json.loads(replica.get("/v1/books/3").body)
    assert (card["title"], card["authors"], card["genres"]) == ("Book 3", ["Author 3"], ["fantasy"])
    similar = json.loads(replica.get("/v1/books/3/similar?limit=2").body)
    assert [item["book_id"] for item in similar["items"]] == list_of(3)[:2]
    popular = json.loads(replica.get("/v1/popular?limit=2&tag=fantasy").body)
    assert [item["book_id"] for item in popular["items"]] == list_of(0)[:2]
    assert popular["tags"] == ["fantasy", "history"]
    assert replica.get("/v1/popular?tag=nothing").status == 404
    assert replica.get("/v1/books/9999").status == 404


def test_a_batch_keeps_the_order_asked_for(replica: Replica, go_live: GoLive) -> None:
    """One release, one entry a user, unknown users among them."""
    release = _ready(replica, go_live)
    content = json.loads(replica.get("/v1/recommendations?user_id=9&user_id=777&user_id=2").body)
    assert content["release"] == release
    assert [part["user_id"] for part in content["results"]] == [9, 777, 2]
    assert [part["source"] for part in content["results"]] == ["als", "popularity", "als"]


def test_a_request_id_is_taken_over_or_made(replica: Replica, go_live: GoLive) -> None:
    """A well-formed id comes back; another is replaced."""
    _ready(replica, go_live)
    path = "/v1/users/7/recommendations"
    assert replica.get(path, X_Request_ID="abc-12345").headers["X-Request-ID"] == "abc-12345"
    assert replica.get(path, X_Request_ID="no spaces!").headers["X-Request-ID"] != "no spaces!"
