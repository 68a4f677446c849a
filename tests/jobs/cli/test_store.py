"""The commands about releases in Redis: exit codes, the last line of standard output, what a person reads."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from schemas.environment import node_list
from tests.harness import command_line, store
from tests.harness.command_line import Result
from tests.harness.releases import write_release

Run = Callable[..., Result]


@pytest.fixture
def run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run a command with the environment of this test."""
    nodes = node_list(settings.redis)
    monkeypatch.setenv("NIGHTSHELF_REDIS", nodes)
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(settings.artifacts))
    monkeypatch.setenv("NIGHTSHELF_RETIRE_GRACE_S", "0")
    return lambda *arguments: command_line.run(capsys, *arguments)


def test_a_release_goes_through_its_life(run: Run, artifacts: Artifacts) -> None:
    """Every command in turn, each with exit code 0 and its outcome."""
    first = write_release(artifacts.root, "2026-01-01").release
    second = write_release(artifacts.root, "2026-01-02", variant=1).release
    published = run("publish", "--release", first, "--rate", "100000")
    assert (published.exit_code, published.outcome["already_loaded"]) == (0, False)
    assert run("publish", "--release", first).outcome["already_loaded"] is True
    assert run("activate", "--release", first).outcome["generation"] == 1
    assert run("activate", "--release", first).outcome["already_live"] is True
    run("publish", "--release", second)
    by = ("--by", "ada", "--reason", "compare")
    started = run("canary", "start", "--release", second, "--share", "0.25", *by)
    assert started.outcome["share"] == 0.25
    assert run("releases").outcome["canary"] == second
    assert run("canary", "stop", *by).outcome["canary"] is None
    run("canary", "start", "--release", second, "--share", "0.25", *by)
    assert run("canary", "promote", *by).outcome["release"] == second
    assert run("releases", "--reference-for", "2026-01-02").outcome["reference"] == first
    assert run("releases", "--reference-for", "2026-01-01").outcome["reference"] == "none"
    back = run("rollback", "--by", "ada", "--reason", "odd lists")
    assert (back.outcome["release"], back.outcome["left"]) == (first, second)
    found = run("releases").outcome
    assert (found["live"], found["previous"], len(found["quarantined"])) == (first, None, 1)
    assert run("audit", "--all").outcome["differing"] == 0
    assert run("retire").outcome["retired"] == [second]
    assert run("restore").outcome["restored"] is False


def test_why_is_read_by_people_and_by_programs(
    run: Run, artifacts: Artifacts, settings: Settings
) -> None:
    """Titles on standard error, everything on the last line of standard output."""
    store.go_live(artifacts, settings, "2026-01-01")
    found = run("why", "--user", 7, "--limit", 2)
    assert [item["book_id"] for item in found.outcome["items"]] == [8, 9]
    assert "Book 8" in found.text
    assert "because of 1 ratings" in found.text


def test_the_history_is_read_by_people_and_by_programs(run: Run, artifacts: Artifacts) -> None:
    """A line an entry on standard error, all entries on the last line; Redis is not asked."""
    folder = write_release(artifacts.root, "2026-01-01")
    assert run("activate", "--release", folder.release).exit_code == 3
    run("publish", "--release", folder.release)
    run("activate", "--release", folder.release)
    found = run("releases", "--history")
    assert [e["action"] for e in found.outcome["journal"]] == ["refusal", "activate", "outcome"]
    told = [line for line in found.text.splitlines() if line.strip()]
    assert len(told) == 3
    assert f"activate to {folder.release} by nightshelf: verdict go" in told[1]
    assert "outcome of 2: ok" in told[2]


def test_exit_codes(run: Run, artifacts: Artifacts, settings: Settings) -> None:
    """3 for a gate, 99 for nothing to do, 2 for wrong usage, 4 for missing files, each with what, where and do."""
    live = store.go_live(artifacts, settings, "2026-01-05")
    older = write_release(artifacts.root, "2026-01-04", variant=1).release
    held = write_release(artifacts.root, "2026-01-06", variant=2, verdict="hold").release
    for release in (older, held):
        run("publish", "--release", release)
    unknown = "2026-01-07-00000000"
    expected = {
        ("activate", "--release", unknown): 3,
        ("activate", "--release", held): 3,
        ("activate", "--release", older): 99,
        ("activate", "--release", held, "--approved-by", "ada"): 2,
        ("activate", "--release", "yesterday"): 2,
        ("publish", "--release", unknown): 4,
        ("rollback", "--by", "ada", "--reason", "x"): 2,
        ("rollback", "--to", live, "--by", "ada", "--reason", "x"): 2,
        ("canary", "stop", "--by", "ada", "--reason", "x"): 2,
        ("why", "--user", "nobody"): 2,
    }
    for arguments, code in expected.items():
        found = run(*arguments)
        assert (arguments, found.exit_code) == (arguments, code)
        assert {"error", "where", "do"} <= set(found.outcome)
        assert "Traceback" not in found.text
    assert run("releases").outcome["live"] == live


def test_an_unreachable_redis_is_exit_code_1(
    run: Run, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command that needs Redis says where it looked."""
    folder = write_release(artifacts.root, "2026-01-01")
    monkeypatch.setenv("NIGHTSHELF_REDIS", "127.0.0.1:1")
    for arguments in (
        ("publish", "--release", folder.release),
        ("releases",),
        ("retire",),
        ("restore",),
    ):
        found = run(*arguments)
        assert (found.exit_code, found.outcome["where"]) == (1, "127.0.0.1:1")
    assert run("releases", "--history").exit_code == 0


def test_an_audit_that_finds_something_ends_with_3(
    run: Run, artifacts: Artifacts, settings: Settings
) -> None:
    """The users stand in the outcome, what to do on standard error; a restore mends it."""
    live = store.go_live(artifacts, settings, "2026-01-01")
    with store.connected(settings) as cluster:
        cluster.hset(f"shelf:{live}:users:0", "7", "wrong")
    found = run("audit", "--all")
    assert (found.exit_code, found.outcome["users"]) == (3, [7])
    assert "nightshelf restore" in found.text
    assert run("restore").outcome["mended"] == 1
    assert run("audit", "--all").exit_code == 0


def test_it_works_as_a_program(settings: Settings, artifacts: Artifacts, tmp_path: Path) -> None:
    """As a process of its own: JSON on standard output, progress on standard error."""
    folder = write_release(artifacts.root, "2026-01-01")
    nodes = node_list(settings.redis)
    ended = subprocess.run(
        [Path(sys.executable).with_name("nightshelf"), "publish", "--release", folder.release],
        env={**os.environ, "NIGHTSHELF_REDIS": nodes, "NIGHTSHELF_ARTIFACTS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(ended.stdout.splitlines()) == 1
    assert json.loads(ended.stdout)["release"] == folder.release
    assert "load" in ended.stderr


def test_the_store_is_checked(run: Run, artifacts: Artifacts, settings: Settings) -> None:
    """Exit code 0 for a sound one, 1 for what should be changed, 3 where a load loses lists, which publish refuses."""
    first = write_release(artifacts.root, "2026-01-01").release
    second = write_release(artifacts.root, "2026-01-02", variant=1).release
    run("publish", "--release", first)
    run("activate", "--release", first)
    sound = run("check-store")
    assert (sound.exit_code, sound.outcome["sound"], sound.text) == (0, True, "")
    store.configure(settings, "maxmemory-policy", "allkeys-random")
    try:
        assert run("check-store").exit_code == 1
        # More than a node uses and less than it needs for its buffers.
        limit = store.used_memory(settings.redis) // len(settings.redis) + 500_000
        store.configure(settings, "maxmemory", limit)
        losing = run("check-store", "--release", second)
        assert (losing.exit_code, losing.outcome["loses_data"]) == (3, True)
        assert "allkeys-random" in losing.text
        assert "where: 127.0.0.1:" in losing.text
        refused = run("publish", "--release", second)
        assert refused.exit_code == 4
        assert "--unsafe-store-ok" in refused.outcome["do"]
    finally:
        store.configure(settings, "maxmemory", 0)
        store.configure(settings, "maxmemory-policy", "noeviction")


def test_a_pointer_moves_to_an_incomplete_release_only_knowingly(
    run: Run, artifacts: Artifacts, settings: Settings
) -> None:
    """Exit code 4 while files and values are gone; with --incomplete-ok a warning and how many users fall back."""
    for day in (1, 2):
        folder = write_release(artifacts.root, f"2026-01-0{day}", variant=day)
        run("publish", "--release", folder.release)
        run("activate", "--release", folder.release)
    first = next(name for name in run("releases").outcome["loaded"] if name < "2026-01-02")
    with store.connected(settings) as cluster:
        cluster.delete(f"shelf:{first}:users:0")
    listed = run("releases")
    assert listed.outcome["missing"][first] == {"keys": 1, "values": 30, "users": 30}
    assert f"{first} lacks 1 complete keys" in listed.text
    artifacts.release(first).lists.unlink()
    by = ("--by", "ada", "--reason", "odd lists")
    refused = run("rollback", *by)
    assert refused.exit_code == 4
    assert "30 values" in refused.outcome["error"]
    moved = run("rollback", *by, "--incomplete-ok")
    assert (moved.exit_code, moved.outcome["release"]) == (0, first)
    assert moved.outcome["completeness"]["users_falling_back"] == 30
    assert "up to 30 users get a fallback" in moved.text
