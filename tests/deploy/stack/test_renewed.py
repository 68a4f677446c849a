"""What is exchanged while the stack runs: the certificate, API keys; and who did what is told afterwards."""

import json
import shutil
import ssl
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.stack.daemon import ROOT
from tests.deploy.stack.deployed import Deployed
from tests.harness.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def _new_pair(folder: Path) -> tuple[Path, Path]:
    make = [str(ROOT / "deploy/certificates.sh"), "edge", str(folder), "localhost", "127.0.0.1"]
    subprocess.run(make, check=True)
    return folder / "edge_certificate", folder / "edge_key"


def _shown(stack: Deployed) -> str:
    """Return the certificate that NGINX shows a new connection, whoever signed it."""
    return ssl.get_server_certificate(("localhost", stack.address.port))


def _text(certificate: Path) -> str:
    """Return a certificate as `ssl` writes it."""
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(certificate.read_text()))


def test_a_renewed_certificate_is_taken_up(stack: Deployed, tmp_path: Path) -> None:
    """Within seconds, by `certificate`; a connection that was there goes on."""
    certificate, key = _new_pair(tmp_path)
    assert _shown(stack) != _text(certificate)
    with closing(stack.address.connection()) as kept:
        kept.connect()
        stack.run("certificate", str(certificate), str(key))
        until(lambda: _shown(stack) == _text(certificate), "the new certificate", 60, 0.5)
        kept.request("GET", "/v1/popular")
        assert kept.getresponse().status == 200
    stack.wait_personal()


def test_a_pair_that_does_not_belong_together_is_refused(stack: Deployed, tmp_path: Path) -> None:
    """Nothing is changed, and the error names both files."""
    before = _shown(stack)
    certificate, _ = _new_pair(tmp_path / "one")
    _, key = _new_pair(tmp_path / "other")
    refused = stack.run("certificate", str(certificate), str(key), check=False)
    assert refused.returncode == 1
    assert str(certificate) in refused.stderr
    assert _shown(stack) == before


def test_half_a_pair_leaves_nginx_as_it_is(stack: Deployed, tmp_path: Path) -> None:
    """A renewal that wrote the certificate and not its key: the old pair stays, and all of it is said in the log."""
    shutil.copytree(stack.secrets, tmp_path / "kept")
    before = _shown(stack)
    certificate, _ = _new_pair(tmp_path)
    file = stack.secrets / "edge_certificate"
    try:
        file.write_text(certificate.read_text())
        until(lambda: _refusals(stack) > 0, "NGINX refuses half a pair", 60, 0.5)
        assert _shown(stack) == before
    finally:
        file.write_text((tmp_path / "kept/edge_certificate").read_text())
    stack.wait_personal()


def _refusals(stack: Deployed) -> int:
    return stack.compose("logs", "--no-color", "nginx").stdout.count("the old one stays")


def _status(stack: Deployed, key: str) -> int:
    with closing(stack.address.connection()) as connection:
        connection.request("GET", "/v1/popular?limit=3", headers={"X-Api-Key": key})
        return connection.getresponse().status


def _keys(stack: Deployed) -> list[list[str]]:
    return [line.split() for line in stack.run("keys", "list").stdout.splitlines()]


def test_an_api_key_is_exchanged(stack: Deployed) -> None:
    """A second key beside the first, both valid, then the first revoked: as a caller sees it."""
    first = stack.run("keys", "add", "shop").stdout.strip()
    until(lambda: _status(stack, first) == 200, "the first key is valid", 60, 0.5)
    assert _status(stack, "x" * 43) == 401
    ((_, digest, _),) = _keys(stack)
    second = stack.run("keys", "add", "shop").stdout.strip()
    until(lambda: _status(stack, second) == 200, "the second key is valid", 60, 0.5)
    assert _status(stack, first) == 200
    stack.run("keys", "revoke", "shop", digest)
    until(lambda: _status(stack, first) == 401, "the first key is valid no longer", 60, 0.5)
    assert _status(stack, second) == 200
    assert len(_keys(stack)) == 1


def _told(stack: Deployed) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in stack.run("audit-log").stdout.splitlines():
        entry = json.loads(line)
        found.setdefault(entry["kind"], []).append(entry)
    return found


def test_who_did_what_is_told(stack: Deployed, release: str) -> None:
    """Verbs of stack.sh, releases, Airflow, use of API keys, refusals of Redis: a JSON object a line, no key in it."""
    key = stack.run("keys", "add", "reader").stdout.strip()
    until(lambda: _status(stack, key) == 200, "the key is valid", 60, 0.5)
    _status(stack, "y" * 43)
    assert stack.redis("redis-1", "edge", "set", "shelf:planted", "1").startswith("NOPERM")
    assert (
        stack.airflow.call("PATCH", "/api/v2/dags/recommender_train", {"is_paused": True})[0] == 200
    )

    def whole() -> bool:
        used = {entry["api_key"] for entry in _told(stack).get("api_key", [])}
        return used >= {"reader", "!"}

    until(whole, "the use of both keys is told", 60, 1)
    told = _told(stack)
    assert any(
        entry["did"] == "keys add reader" and entry["exit_code"] == 0 for entry in told["action"]
    )
    assert all(entry["who"] and entry["time"] for entry in told["action"])
    assert any(release in json.dumps(entry["entry"]) for entry in told["release"])
    assert any(entry["who"] == "admin" for entry in told["airflow"])
    used = next(entry for entry in told["api_key"] if entry["api_key"] == "reader")
    assert (used["path"], used["status"]) == ("/v1/popular?limit=3", 200)
    refused = {entry["node"]: entry["entries"] for entry in told["redis_refused"]}
    assert {entry["username"] for entry in refused["redis-1"]} >= {"edge"}
    assert len(refused) == 6
    assert key not in json.dumps(told)
