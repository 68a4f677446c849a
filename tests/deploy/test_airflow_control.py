"""How `make airflow` asks a starting Airflow for its DAGs."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.airflow.control import visible_dags
from deploy.airflow.settings import HOST, AirflowSettings

_OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: "
_TOKEN = _OK + b'22\r\n\r\n{"access_token": "ab"}'
_STARTING = {
    "hangs up": [b""],
    "is not HTTP": [b"hello\r\n\r\n"],
    "breaks off in the header": [b"HTTP/1.1 2"],
    "breaks off in the body": [_OK + b'90\r\n\r\n{"acc'],
    "has a page instead of the API": [_OK + b"6\r\n\r\n<html>"],
    "has another object": [_OK + b'17\r\n\r\n{"status": "new"}'],
    "has no object": [_OK + b"4\r\n\r\nnull"],
    "fails": [b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"],
    "breaks off behind the token": [_TOKEN, _OK + b'90\r\n\r\n{"dags"'],
    "has no list behind the token": [_TOKEN, _OK + b'14\r\n\r\n{"dags": null}'],
}


@contextmanager
def _answering(answers: list[bytes]) -> Iterator[int]:
    """Answer one connection after another with these bytes; gives the port."""
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join(timeout=60)
        assert not thread.is_alive(), "it was not asked as often as it has answers"


@pytest.mark.parametrize("what", _STARTING)
def test_a_starting_airflow_shows_no_dags(tmp_path: Path, what: str) -> None:
    """Whatever a starting api-server answers means that no DAG is visible yet; `up` asks again."""
    (tmp_path / "passwords.json").write_text('{"admin": "x"}', encoding="utf-8")
    with _answering(_STARTING[what]) as port:
        assert visible_dags(AirflowSettings(airflow_port=port, airflow_folder=tmp_path)) == set()


def test_a_started_airflow_shows_its_dags(tmp_path: Path) -> None:
    """The ids that the REST API lists are the visible DAGs."""
    (tmp_path / "passwords.json").write_text('{"admin": "x"}', encoding="utf-8")
    listed = b'{"dags": [{"dag_id": "a"}, {"dag_id": "b"}]}'
    answer = _OK + str(len(listed)).encode() + b"\r\n\r\n" + listed
    with _answering([_TOKEN, answer]) as port:
        found = visible_dags(AirflowSettings(airflow_port=port, airflow_folder=tmp_path))
    assert found == {"a", "b"}
