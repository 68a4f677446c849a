"""API keys: kept as hashes, two valid at a time, exchanged without a failed request."""

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.nginx import configuration, keys
from deploy.nginx.keys import KeyProblem
from tests.deploy.nginx.conftest import Front, load
from tests.waiting import until

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


def test_a_key_has_a_limit_of_its_own(start_front: StartFront, tmp_path: Path) -> None:
    """A caller with a key is counted by its name and not by its address."""
    file = tmp_path / "keys.map"
    one, other = keys.add(file, "one"), keys.add(file, "other")
    front = _front(
        start_front, file, required=False, nginx_rate_per_s=1, nginx_burst=1,
        nginx_key_rate_per_s=1, nginx_key_burst=10,
    )  # fmt: skip
    with_key = [front.get(_PATH, X_Api_Key=one).status for _ in range(25)]
    assert with_key[:11] == [200] * 11
    assert 429 in with_key
    assert front.get(_PATH, X_Api_Key=other).status == 200
    assert front.get(_PATH).status == 200


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
        new = keys.add(file, "shop")
        configuration.reload(front.folder)
        until(lambda: front.get(_PATH, X_Api_Key=new).status == 200, "the new key is known")
        seen = finish()
    assert seen.failed == 0, seen.shown
    with load(front, "-H", f"X-Api-Key: {new}", *close) as finish:
        keys.revoke(file, "shop", keys.read(file)[0].hash[:8])
        configuration.reload(front.folder)
        until(lambda: front.get(_PATH, X_Api_Key=old).status == 401, "the old key is unknown")
        seen = finish()
    assert seen.failed == 0, seen.shown
    assert seen.requests > 100


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


def test_the_command(tmp_path: Path) -> None:
    """Add prints the key alone on standard output, list shows callers, revoke ends a key, anything else is usage."""
    file = tmp_path / "keys.map"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["python", "-m", "deploy.nginx.keys", *arguments],
            env={**os.environ, "NIGHTSHELF_NGINX_API_KEYS_FILE": str(file)},
            capture_output=True,
            text=True,
            check=False,
        )

    assert len(run("add", "shop").stdout.strip()) == 43
    digest = keys.read(file)[0].hash
    assert run("list").stdout.split()[:2] == ["shop", digest[:8]]
    assert run("revoke", "shop", digest[:8]).returncode == 0
    assert run("list").stdout == ""
    assert (run("sing").returncode, run("add", "A B").returncode) == (2, 2)
