"""The cache: what it keeps, for how long, and what it never keeps."""

import gzip
import http.client
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from schemas.environment import Node
from tests.deploy.nginx.front import PATIENCE_S, Front, running_front
from tests.deploy.nginx.replicas import SHORT_S, Edge, running_edge
from tests.harness.waiting import until

StartFront = Callable[..., Front]
Short = tuple[Edge, Front]

# max-age, as long again for renewing, and what is lost by counting in whole seconds: after so long nothing that was
# kept is shown any more while a replica answers. README.md promises it.
_GONE_S = 2 * SHORT_S + 1


def _statuses(front: Front, path: str, times: int) -> list[str]:
    answers = [front.get(path) for _ in range(times)]
    assert {answer.status for answer in answers} == {200}
    return [answer.cache for answer in answers]


def _until_kept(front: Front, path: str, method: str = "GET") -> None:
    # A client has its answer some microseconds before the cache has.
    until(lambda: front.get(path, method=method).cache == "HIT", "it is kept", PATIENCE_S)


@pytest.fixture(scope="module")
def short(shelves: tuple[Node, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Short]:
    """A replica whose answers may be kept for a second, and NGINX before it; a test leaves both running."""
    folder = tmp_path_factory.mktemp("short")
    with (
        running_edge(shelves, folder / "edge", "short", max_age_s=SHORT_S) as edge,
        running_front(folder / "nginx", edge.addresses) as front,
    ):
        yield edge, front


def test_an_answer_is_kept_by_path_and_arguments(front: Front) -> None:
    """The second time it comes from the cache; another limit, user or spelling is another entry."""
    path = "/v1/users/21/recommendations?limit=3"
    assert _statuses(front, path, 1) == ["MISS"]
    _until_kept(front, path)
    assert _statuses(front, path, 3) == ["HIT"] * 3
    assert _statuses(front, "/v1/users/21/recommendations?limit=4", 1) == ["MISS"]
    assert _statuses(front, "/v1/users/22/recommendations?limit=3", 1) == ["MISS"]
    assert len(front.get("/v1/users/21/recommendations?limit=3").json["items"]) == 3
    # An escaped question mark belongs to the path: it must not find, and must not leave, the entry of the real one.
    assert front.get("/v1/users/21/recommendations%3Flimit=3").status == 404
    assert front.get(path).status == 200


def test_a_head_and_a_get_share_an_entry(front: Front) -> None:
    """A HEAD fills the cache with the whole answer and gets no body."""
    _until_kept(front, "/v1/books/17", "HEAD")
    head = front.get("/v1/books/17", method="HEAD")
    got = front.get("/v1/books/17")
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", got.headers["etag"])
    assert got.json["book_id"] == 17
    assert got.cache == "HIT"


def test_batches_and_problems_are_not_kept(front: Front) -> None:
    """A batch goes to a replica each time; so do a 400 and a 404."""
    for path in ("/v1/recommendations?user_id=1", "/v1/users/x/recommendations", "/v1/books/999"):
        assert {front.get(path).cache for _ in range(3)} <= {"", "MISS"}, path


def test_a_release_asked_for_by_name_is_never_kept(front: Front) -> None:
    """Not the live one's either: each time a replica is asked, and the live list's entry is another."""
    path = "/v1/users/19/recommendations"
    release = front.get("/v1/popular").headers["x-release"]
    _until_kept(front, path)
    named = [front.get(f"{path}?release={release}") for _ in range(3)]
    assert [answer.cache for answer in named] == ["MISS"] * 3
    assert {answer.headers["cache-control"] for answer in named} == {"no-store"}
    assert {answer.json["release"] for answer in named} == {release}
    assert _statuses(front, path, 1) == ["HIT"]


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


@pytest.mark.parametrize(
    "path", ["/v1/users/9/recommendations?limit=40", "/v1/books/6", "/v1/recommendations?user_id=4"]
)
def test_repeated_lines_of_if_none_match_are_one_list(front: Front, path: str) -> None:
    """A tag in any of two lines gives 304, no tag the answer; what is kept stays an answer with a body."""
    whole = front.get(path)
    tag = whole.headers["etag"].encode()
    for lines, status in (
        ([b'"a"', b"W/" + tag], 304),
        ([tag, b'"a"'], 304),
        ([b'"a"', b'"b", ' + tag], 304),
        ([b'"a"', b'"b"'], 200),
    ):
        assert _asked(front, path, lines) == status, lines
    again = front.get(path)
    assert (again.status, again.body) == (200, whole.body)


def test_repeated_lines_open_nothing_else(front: Front) -> None:
    """What is refused for another reason, odd bytes in a tag and paths that are not lists stay refused."""
    tag = [b'"a"', b'"b"']
    assert _asked(front, "/metrics", tag) == 400
    assert _asked(front, "/v1/../metrics", tag) == 400
    assert _asked(front, "/v1/%2e%2e/metrics", tag) == 400
    assert _asked(front, "/v1/popular", tag, method=b"POST") == 400
    assert _asked(front, "/v1/popular", [b'"a"', b"\xff"]) == 400
    assert _asked(front, "/v1/popular", tag, before=b"Host: y\r\n") == 400
    assert _asked(front, "/v1/popular", [b'"a"'], before=b"Host: y\r\n") == 400


def _asked(
    front: Front, path: str, tags: list[bytes], *, method: bytes = b"GET", before: bytes = b""
) -> int:
    """Return the status that a request with these lines of If-None-Match gets; `before` stands before them."""
    lines = b"".join(b"If-None-Match: " + tag + b"\r\n" for tag in tags)
    head = method + b" " + path.encode() + b" HTTP/1.1\r\nHost: x\r\n" + before + lines
    return int(front.raw(head + b"Connection: close\r\n\r\n").split(b" ", 2)[1])


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


def test_an_old_answer_is_shown_while_a_new_one_is_fetched(short: Short) -> None:
    """Past max-age a client gets the old answer at once, and the cache is renewed behind its back."""
    _, front = short
    path = "/v1/users/25/recommendations?limit=2"
    until(lambda: _statuses(front, path, 1) == ["STALE"], "an old answer is shown", PATIENCE_S)
    until(lambda: _statuses(front, path, 1) == ["HIT"], "the entry is renewed", PATIENCE_S)


def test_a_flip_empties_the_cache_in_effect(short: Short) -> None:
    """Once max-age and stale-while-revalidate have passed after a flip, no answer is of the old release."""
    edge, front = short
    paths = [f"/v1/users/{user}/recommendations" for user in range(1, 11)]
    paths += ["/v1/popular", "/v1/popular?tag=fantasy", "/v1/books/3", "/v1/books/3/similar"]
    old = {front.get(path).headers["x-release"] for path in paths}
    new = edge.go_live("2026-01-02", variant=1).release
    edge.wait(new)
    time.sleep(_GONE_S)
    for _ in range(3):
        assert {front.get(path).headers["x-release"] for path in paths} == {new}
    assert len(old) == 1
    assert old != {new}


def test_answers_of_a_broken_store_are_never_kept(short: Short) -> None:
    """A fallback says no-store and is fetched anew each time; once the store is whole it is gone."""
    edge, front = short
    path = "/v1/users/4/recommendations"
    with edge.without_pointer():
        until(lambda: front.get(path).json["reason"] == "no_release", "the fallback", PATIENCE_S)
        assert front.get(path).headers["cache-control"] == "no-store"
        assert set(_statuses(front, path, 3)) <= {"MISS", "EXPIRED"}
        assert _statuses(front, "/v1/users/6/recommendations?limit=9", 3) == ["MISS"] * 3
    until(lambda: front.get(path).json["source"] == "als", "a personal list", PATIENCE_S)


def test_without_any_replica_the_last_answer_is_shown_or_a_problem(short: Short) -> None:
    """What is in the cache goes on being answered, past its age; what is not is a 503 with Retry-After."""
    edge, front = short
    path = "/v1/users/14/recommendations"
    _until_kept(front, path)
    known = front.get(path)
    (replica,) = edge.replicas
    release = edge.serves(replica)
    assert release is not None
    edge.stop()
    try:
        time.sleep(_GONE_S)
        assert _statuses(front, path, 5) == ["STALE"] * 5
        assert front.get(path).body == known.body
        missing = front.get("/v1/users/15/recommendations")
        assert (missing.status, missing.headers["retry-after"]) == (503, "1")
        assert missing.headers["content-type"] == "application/problem+json"
        assert missing.json["title"] == "Service Unavailable"
        assert front.get("/").status == 200
    finally:
        edge.start(replica)
        edge.wait(release)


def test_the_cache_can_be_turned_off(start_front: StartFront) -> None:
    """Then every request goes to a replica, and 304 still works end to end."""
    front = start_front(nginx_cache=False)
    path = "/v1/users/9/recommendations"
    tag = front.get(path).headers["etag"]
    assert _statuses(front, path, 2) == ["", ""]
    assert front.get(path, If_None_Match=tag).status == 304


def test_the_cache_lies_in_memory(front: Front, edge: Edge) -> None:
    """Its folder is in a tmpfs: on disk the tails were hundreds of milliseconds."""
    assert edge.replicas
    assert "proxy_cache_path /dev/shm/" in (front.folder / "nginx.conf").read_text()


def test_kept_answers_do_not_use_up_the_descriptors(front: Front) -> None:
    """After 2,200 kept answers were shown a worker holds no more files than a quarter of its descriptors."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=PATIENCE_S)
    with closing(connection):
        for _ in range(2):
            for user in range(5_000, 7_200):
                connection.request("GET", f"/v1/users/{user}/recommendations")
                assert len(connection.getresponse().read()) > 0
    held = max(_files_of_the_cache(worker) for worker in front.workers())
    assert 1_000 < held <= 8_192 / 4


def _files_of_the_cache(worker: str) -> int:
    # Descriptors come and go meanwhile; it says so and goes on.
    found = subprocess.run(
        ["find", f"/proc/{worker}/fd", "-lname", "*cache*"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return found.stdout.count(b"\n")
