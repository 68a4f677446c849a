"""What is told about the contents of the images: the lists, and what is known against them."""

import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy import audit
from deploy.audit import Findings

ROOT = Path(__file__).resolve().parents[2]
#: What OSV answers for a version that has a hole, cut to the fields that are read.
HOLE = {
    "vulns": [
        {
            "id": "PYSEC-2099-1",
            "schema_version": "1.6.0",
            "summary": "a made-up hole",
            "affected": [
                {
                    "package": {"name": "jinja2", "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
                }
            ],
        }
    ]
}  # fmt: skip


def _locks() -> list[str]:
    found = re.search(r"^AUDITED = (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    return found[1].split()


def test_every_image_has_its_list(tmp_path: Path) -> None:
    """For each lock that is in an image: each pinned package, version and hash, and no more; by CycloneDX's schema."""
    built = re.findall(
        r"^ARG \w+_LOCK=(\S+)|requirements/(\w+)\.txt deploy",
        (ROOT / "deploy/containers/Dockerfile").read_text(),
        re.MULTILINE,
    )
    # What installs is in no image.
    assert {first or second for first, second in built} - {"uv", "build"} <= set(_locks())
    assert _audit("--list-only", str(tmp_path), *_locks()).returncode == 0
    for lock in _locks():
        text = (ROOT / f"deploy/requirements/{lock}.txt").read_text()
        pinned = set(re.findall(r"^([a-z0-9-]+)(?:\[[^]]+\])?==([^ ;]+)", text, re.MULTILINE))
        made = json.loads((tmp_path / f"{lock}.json").read_text())
        assert {(part["name"], part["version"]) for part in made["components"]} == pinned
        assert {part["purl"] for part in made["components"]} == {
            f"pkg:pypi/{name}@{version.replace('+', '%2B')}" for name, version in pinned
        }
        hashes = [
            known["content"]
            for part in made["components"]
            for place in part["externalReferences"]
            for known in place.get("hashes", [])
        ]
        assert sorted(hashes) == sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", text))
    valid = JsonStrictValidator(SchemaVersion.V1_6)
    assert valid.validate_str((tmp_path / "proxy.json").read_text()) is None


def test_a_known_hole_is_named() -> None:
    """Asked for a hole, the real tool is told by the service; package, version, hole and what mends it are named."""
    with _service() as (url, asked):
        found = audit.ask("proxy", ["--vulnerability-service", "osv", "--osv-url", url])
    assert {question["package"]["name"] for question in asked} == {"jinja2", "markupsafe"}
    assert (found.asked, found.unknown) == (2, ())
    [hole] = found.holes
    assert re.fullmatch(r"jinja2 [0-9.]+: PYSEC-2099-1, mended in 99\.1", hole)


def test_no_service_is_no_good_news(tmp_path: Path) -> None:
    """Where the service cannot be reached the list is there, and the command says so and exits with 2."""
    with _service() as (url, _):
        pass  # its port is closed from here on
    ended = _audit(str(tmp_path), "proxy", "--service", "osv", "--osv-url", url)
    assert ended.returncode == 2
    assert "error: no answer about proxy" in ended.stderr
    assert "do: run this where" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "proxy.json").exists()


def test_a_skipped_package_is_unknown() -> None:
    """A mirror without the list of holes answers 404, which pip-audit takes for clean: here it is unknown."""
    # What pip-audit 2.10 wrote where a mirror answered 404.
    reason = "Dependency not found on PyPI and could not be audited: jinja2 (3.1.6)"
    report = {"dependencies": [{"name": "jinja2", "skip_reason": reason}], "fixes": []}
    assert audit.findings(report) == Findings(0, (), ("jinja2",))


@pytest.mark.parametrize(
    ("found", "ends"),
    [
        (Findings(2, (), ()), (0, "proxy: 2 packages asked for, 0 known holes")),
        (Findings(2, ("jinja2: X, mended in 3.2",), ()), (1, "  jinja2: X, mended in 3.2")),
        (Findings(1, ("a hole",), ("jinja2",)), (2, "does not answer for 1 packages: jinja2")),
    ],
)
def test_the_exit_code_says_what_is_known(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    found: Findings,
    ends: tuple[int, str],
) -> None:
    """0 only where all were asked for and nothing is known; 1 for holes; 2 where something is unknown, holes or not."""
    monkeypatch.setattr(audit, "list_packages", lambda *_: "a list")
    monkeypatch.setattr(audit, "ask", lambda *_: found)
    with pytest.raises(SystemExit) as end:
        audit.main([".", "proxy"])
    assert end.value.code == ends[0]
    told = capsys.readouterr()
    assert ends[1] in told.out + told.err


def test_an_unknown_lock_is_refused(tmp_path: Path) -> None:
    """A name that is no lock is told, with exit code 2."""
    ended = _audit(str(tmp_path), "nothing")
    assert ended.returncode == 2
    assert "error: no lock" in ended.stderr


def _audit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.audit", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@contextmanager
def _service() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """OSV's query on loopback, which knows a hole of jinja2; yields its address and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            known = HOLE if asked[-1]["package"]["name"] == "jinja2" else {}
            body = json.dumps(known).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()
