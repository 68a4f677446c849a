"""What is logged of a request, and what of it is passed on to a replica."""

import http.client
import re
import socket
import threading
from pathlib import Path

from tests.deploy.nginx.front import PATIENCE_S, Front, fetch, running_front
from tests.harness.waiting import until

_END = b"Host: shelf\r\nConnection: close\r\n\r\n"


def test_a_request_id_is_taken_over_or_made(front: Front) -> None:
    """A well-formed id comes back, a malformed one is replaced, and an answer from the cache has its own."""
    named = front.get("/v1/popular?limit=5", X_Request_Id="from-the-caller-1")
    assert named.headers["x-request-id"] == "from-the-caller-1"
    again = front.get("/v1/popular?limit=5", X_Request_Id="from-the-caller-2")
    assert again.headers["x-request-id"] == "from-the-caller-2"
    odd = ({"X_Request_Id": name} for name in ("short", "with blanks", "x" * 129, 'quote"quote"'))
    made = [
        front.get("/v1/popular?limit=5", **headers).headers["x-request-id"]
        for headers in (*odd, *({} for _ in range(20)))
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{8,128}", name) for name in made)
    assert len(set(made)) == 24


def test_the_log_names_release_and_source(front: Front) -> None:
    """A line of JSON a request: request id, release, source, cache, replica and its time."""
    answer = front.get("/v1/users/11/recommendations?limit=4", X_Request_Id="to-be-logged-1")
    line = front.logged("to-be-logged-1")
    assert line["release"] == answer.headers["x-release"]
    assert (line["source"], line["status"], line["cache"]) == ("als", 200, "MISS")
    assert line["path"] == "/v1/users/11/recommendations?limit=4"
    assert line["replica"].startswith("unix:")
    assert float(line["upstream_s"]) >= 0
    assert line["bytes"] == len(answer.body)


def test_the_log_stays_json_whatever_comes(front: Front) -> None:
    """Quotes, backslashes and bytes that are no UTF-8 in path and headers do not break a line."""
    for number, (path, agent) in enumerate(
        [(b'"\\{', b'a "quoted\\ one'), (b"\xff", b"plain"), (b"plain", b"\xfe}\x0b")]
    ):
        front.raw(
            b"GET /v1/%b HTTP/1.1\r\nUser-Agent: %b\r\nX-Request-Id: odd-bytes-%d\r\n%b"
            % (path, agent, number, _END)
        )
    lines = [front.logged(f"odd-bytes-{number}") for number in range(3)]
    assert [line["path"] for line in lines] == ['/v1/"\\{', "(not ASCII)", "/v1/plain"]
    assert [line["user_agent"] for line in lines] == ['a "quoted\\ one', "plain", "(not ASCII)"]


def test_a_log_line_has_the_clients_trace_or_one_of_its_own(front: Front) -> None:
    """A well-formed traceparent is taken over; without one a replica gets one all the same, and a hit has none."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = {
        "with-a-trace": f"00-{trace}-b7ad6b7169203331-01",
        "with-a-broken-one": f"00-{trace}-01",
        "with-no-trace": "",
    }
    for number, (request_id, parent) in enumerate(sent.items(), start=20):
        headers = {"X-Request-Id": request_id} | ({"traceparent": parent} if parent else {})
        front.get(f"/v1/popular?limit={number}", **headers)
    found = {request_id: front.logged(request_id)["trace_id"] for request_id in sent}
    assert found["with-a-trace"] == trace
    for request_id in ("with-a-broken-one", "with-no-trace"):
        assert re.fullmatch("[0-9a-f]{32}", found[request_id]), request_id
    assert len(set(found.values())) == 3
    path = "/v1/popular?limit=23"
    until(lambda: front.get(path).cache == "HIT", "it is kept", PATIENCE_S)
    for request_id, parent in sent.items():
        headers = {"X-Request-Id": f"{request_id}-hit"} | (
            {"traceparent": parent} if parent else {}
        )
        assert front.get(path, **headers).cache == "HIT"
    hits = {request_id: front.logged(f"{request_id}-hit")["trace_id"] for request_id in sent}
    assert (hits["with-a-trace"], hits["with-no-trace"]) == (trace, "")


def test_nothing_of_a_request_reaches_a_replica_but_what_is_named(tmp_path: Path) -> None:
    """On the wire: path and arguments, the request's id and trace, If-None-Match; no key, no cookie, no Host."""
    path, trace = "/v1/recommendations?user_id=3", f"00-{'a' * 32}-{'b' * 16}-01"
    seen: list[bytes] = []

    def answer(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            while not seen or b"\r\n\r\n" not in seen[0]:
                seen[:] = [b"".join(seen) + connection.recv(65536)]
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "a.sock"))
        listening.listen()
        replica = threading.Thread(target=answer, args=(listening,))
        replica.start()
        with running_front(tmp_path / "nginx", f"unix:{tmp_path}/a.sock") as front:
            connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=PATIENCE_S)
            sent = {
                "Host": "elsewhere", "Cookie": "a=b", "X-Api-Key": "secret", "Authorization": "Bearer secret",
                "X-Forwarded-For": "10.0.0.1", "Accept-Encoding": "gzip", "Connection": "close",
                "X-Request-Id": "from-the-caller-3", "traceparent": trace, "If-None-Match": '"held"',
            }  # fmt: skip
            assert fetch(connection, path, "GET", sent).status == 204
        replica.join(timeout=PATIENCE_S)
    request, *headers = seen[0].decode().strip().split("\r\n")
    assert request == f"GET {path} HTTP/1.1"
    assert sorted(headers) == [
        "Host: replicas",
        'If-None-Match: "held"',
        "X-Request-Id: from-the-caller-3",
        f"traceparent: {trace}",
    ]
