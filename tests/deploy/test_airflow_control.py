"""How `make airflow` asks a starting Airflow for its DAGs, and which secrets it gives it."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.airflow.control import visible_dags
from deploy.airflow.settings import HOST, AirflowSettings, from_environment, process_environment

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


_KEYS = (
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
)


def test_a_secret_is_made_up_once_for_its_owner_alone(tmp_path: Path) -> None:
    """Without a given secret one stands in a file of mode 600, whatever the umask, and serves every start."""
    settings = AirflowSettings(airflow_folder=tmp_path / "airflow")
    before = os.umask(0)
    try:
        first = process_environment(settings, {}, {})
    finally:
        os.umask(before)
    assert (tmp_path / "airflow").stat().st_mode & 0o777 == 0o700
    for name in ("secret", "passwords.json"):
        assert (tmp_path / "airflow" / name).stat().st_mode & 0o777 == 0o600
    secret = (tmp_path / "airflow" / "secret").read_text(encoding="utf-8").strip()
    assert len(secret) == 64
    assert len({first[key] for key in _KEYS}) == 3
    assert not [value for value in first.values() if secret in value]
    assert process_environment(settings, {}, {}) == first
    other = process_environment(AirflowSettings(airflow_folder=tmp_path / "other"), {}, {})
    assert not [key for key in _KEYS if other[key] == first[key]]


def test_a_given_secret_is_used_and_not_kept(tmp_path: Path) -> None:
    """A secret and a password from the environment give the same keys in every folder; no file holds the secret."""
    found = []
    for name in ("a", "b"):
        settings = from_environment(
            {
                "NIGHTSHELF_AIRFLOW_FOLDER": str(tmp_path / name),
                "NIGHTSHELF_AIRFLOW_SECRET": "given",
                "NIGHTSHELF_AIRFLOW_PASSWORD": "open",
            }
        )
        found.append(process_environment(settings, {}, {}))
        passwords = json.loads((tmp_path / name / "passwords.json").read_text(encoding="utf-8"))
        assert passwords == {"admin": "open"}
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["passwords.json"]
    assert [found[0][key] for key in _KEYS] == [found[1][key] for key in _KEYS]
