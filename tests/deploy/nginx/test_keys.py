"""API keys: kept as hashes, two valid at a time, exchanged without a failed request."""

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.nginx import configuration, keys
from deploy.nginx.keys import KeyProblem
from tests.deploy.nginx.front import PATIENCE_S, Front
from tests.deploy.nginx.load import load
from tests.harness.waiting import until

StartFront = Callable[..., Front]

_PATH = "/v1/users/1/recommendations"


def _front(start_front: StartFront, file: Path, *, required: bool, **choices: object) -> Front:
    return start_front(nginx_api_keys_file=str(file), nginx_api_keys_required=required, **choices)


def test_required_keys(start_front: StartFront, tmp_path: Path) -> None:
    """With the key, in either header, 200; without one, or with a wrong one, 401 as a problem; the page needs none."""
    file = tmp_path / "keys.map"
    key = keys.add(file, "shop")
    front = _front(start_front, file, required=True)
    assert front.get(_PATH, X_Api_Key=key).status == 200
    assert front.get(_PATH, Authorization=f"Bearer {key}").status == 200
    for headers in ({}, {"X_Api_Key": "wrong"}, {"X_Api_Key": key + "x"}, {"X_Api_Key": key[:-1]},
                    {"Authorization": f"Basic {key}"}, {"X_Api_Key": keys.read(file)[0].hash}):  # fmt: skip
        answer = front.get(_PATH, **headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), headers
        assert answer.headers["content-type"] == "application/problem+json"
    assert front.get("/").status == 200
    assert front.get("/v1/books/1").status == 401
    assert front.get("/v1/recommendations?user_id=1").status == 401


def test_optional_keys(start_front: StartFront, tmp_path: Path) -> None:
    """Without a key one is answered as anybody; with a key nobody knows one is told so."""
    file = tmp_path / "keys.map"
    key = keys.add(file, "shop")
    front = _front(start_front, file, required=False)
    assert front.get(_PATH).status == 200
    assert front.get(_PATH, X_Api_Key=key).status == 200
    assert front.get(_PATH, X_Api_Key="wrong").status == 401


def test_the_key_is_nowhere_but_with_its_owner(start_front: StartFront, tmp_path: Path) -> None:
    """The file holds its hash and is its owner's alone; the log names the caller, not the key."""
    file = tmp_path / "keys.map"
    key = keys.add(file, "shop")
    front = _front(start_front, file, required=True)
    front.get(_PATH, X_Api_Key=key, X_Request_Id="with-a-key-1")
    assert front.logged("with-a-key-1")["api_key"] == "shop"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for found in [file, *front.folder.rglob("*")]:
        if found.is_file():
            assert key.encode() not in found.read_bytes(), found


def test_keys_are_exchanged_under_load_without_a_failed_request(
    start_front: StartFront, tmp_path: Path
) -> None:
    """Old, then old and new, then new: at no moment is a caller with a valid key refused, and the old one ends."""
    file = tmp_path / "keys.map"
    old = keys.add(file, "shop")
    front = _front(start_front, file, required=True)
    # A connection a request: then a reload has nothing that it could close under a caller's hand.
    close = ("-H", "Connection: close")
    with load(front, "-H", f"X-Api-Key: {old}", *close) as finish:
        new, before = keys.add(file, "shop"), front.workers()
        configuration.reload(front.folder)
        # One answer would be that of one worker: another may not have heard of the new key yet.
        until(lambda: not before & front.workers(), "all workers know the new key", PATIENCE_S)
        seen = finish()
    assert seen.failed == 0, seen.shown
    assert front.get(_PATH, X_Api_Key=new).status == 200
    with load(front, "-H", f"X-Api-Key: {new}", *close) as finish:
        keys.revoke(file, "shop", keys.read(file)[0].hash[:8])
        configuration.reload(front.folder)
        until(
            lambda: front.get(_PATH, X_Api_Key=old).status == 401,
            "the old key is unknown",
            PATIENCE_S,
        )
        seen = finish()
    assert seen.failed == 0, seen.shown


def test_two_keys_at_a_time(tmp_path: Path) -> None:
    """A third key is refused with what to do; revoking needs exactly one match."""
    file = tmp_path / "keys.map"
    first = keys.add(file, "shop")
    second = keys.add(file, "shop")
    assert first != second
    assert len(first) == 43  # 256 bits in base64
    with pytest.raises(KeyProblem, match="revoke the older one first"):
        keys.add(file, "shop")
    with pytest.raises(KeyProblem, match="2 keys whose hash starts with"):
        keys.revoke(file, "shop", "")
    oldest = keys.read(file)[0]
    keys.revoke(file, "shop", oldest.hash[:8])
    assert oldest not in keys.read(file)
    assert len(keys.read(file)) == 1


@pytest.mark.parametrize("caller", ["", "Shop", "a b", "a;b", "a" * 33, "-a", 'a"'])
def test_odd_names_are_refused(tmp_path: Path, caller: str) -> None:
    """A name is a few lower-case letters, digits and hyphens: it becomes part of NGINX's configuration."""
    with pytest.raises(KeyProblem, match="is no name"):
        keys.add(tmp_path / "keys.map", caller)
    assert not (tmp_path / "keys.map").exists()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """A line that is no key is an error that says which, and nothing is rewritten."""
    file = tmp_path / "keys.map"
    file.write_text("default 1;\n")
    with pytest.raises(KeyProblem, match=r"line 1 of .*keys\.map is not a key"):
        keys.add(file, "shop")
    assert file.read_text() == "default 1;\n"


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Add prints the key alone on standard output, list shows callers, revoke ends a key, anything else is usage."""
    file = tmp_path / "keys.map"
    monkeypatch.setenv("NIGHTSHELF_NGINX_API_KEYS_FILE", str(file))

    def shown(*arguments: str) -> str:
        keys.main(arguments)
        return capsys.readouterr().out

    assert len(shown("add", "shop").strip()) == 43
    digest = keys.read(file)[0].hash
    assert shown("list").split()[:2] == ["shop", digest[:8]]
    assert shown("revoke", "shop", digest[:8]) == ""
    assert shown("list") == ""
    for wrong in (["sing"], ["add", "A B"], ["revoke", "shop", "00"]):
        with pytest.raises(SystemExit) as ended:
            keys.main(wrong)
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_the_command_needs_a_file(tmp_path: Path) -> None:
    """As a process, without the setting: exit code 2 and the variable's name, no traceback."""
    found = subprocess.run(
        [sys.executable, "-m", "deploy.nginx.keys", "list"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "error: NIGHTSHELF_NGINX_API_KEYS_FILE is not set\n"
