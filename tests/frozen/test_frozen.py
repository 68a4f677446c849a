"""A store as 0.1.0 left it: every command of today goes on from it.

The store in the zip (tests/frozen/freeze.py): day 1 went live, day 2 went live and was rolled back, day 3 is live and
day 1 the previous one; the drop of day 4 is there. Its `inputs.json` name the drops of another machine.
"""

import base64
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import redis

from jobs.runtime.artifacts import Artifacts
from schemas import keys, tables
from schemas.environment import Node, node_list
from schemas.manifest import parse_meta
from tests.frozen import freeze
from tests.harness import command_line
from tests.harness.command_line import Result
from tests.serving.conftest import ending, is_ready, start_replica

SAMPLE = Path(__file__).with_name("0.1.0.zip")
FIRST, SECOND, THIRD = "2026-01-01-d35613ec", "2026-01-02-a3dbb01e", "2026-01-03-05562256"

Nightshelf = Callable[..., Result]


@pytest.fixture
def artifacts(
    redis_nodes: tuple[Node, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Artifacts:
    """The sample's artifacts, and its keys in the session's cluster."""
    with zipfile.ZipFile(SAMPLE) as packed:
        packed.extractall(tmp_path)
    freeze.load(redis_nodes, json.loads((tmp_path / "redis.json").read_text("utf-8")))
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("NIGHTSHELF_REDIS", node_list(redis_nodes))
    monkeypatch.setenv("NIGHTSHELF_ROWS_MAX_RATIO", "10")
    monkeypatch.setenv("NIGHTSHELF_RETIRE_GRACE_S", "0")
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture
def nightshelf(capsys: pytest.CaptureFixture[str]) -> Nightshelf:
    """A command that must end with 0."""

    def do(line: str, **named: str) -> Result:
        options = [f"--{name.replace('_', '-')}={value}" for name, value in named.items()]
        ended = command_line.run(capsys, *line.split(), *options)
        assert ended.exit_code == 0, ended.text
        return ended

    return do


def _digest(artifacts: Artifacts, release: str) -> str:
    return str(json.loads(artifacts.release(release).manifest.read_text("utf-8"))["digest"])


def _values(nodes: tuple[Node, ...]) -> dict[str, Any]:
    """Return every key of the releases, without the catalog and the journal's copy."""
    return {key: value for key, value in freeze.dump(nodes).items() if key.count(":") > 1}


def _empty(nodes: tuple[Node, ...]) -> None:
    for node in nodes:
        with redis.Redis(host=node.host, port=node.port) as client:
            client.flushall()


def test_releases_and_restore_find_the_store_as_it_was(
    artifacts: Artifacts, redis_nodes: tuple[Node, ...], nightshelf: Nightshelf
) -> None:
    """The same live, previous and quarantine; on the complete store restore changes no value."""
    before = _values(redis_nodes)
    for _ in range(2):
        told = nightshelf("releases").outcome
        assert (told["live"], told["previous"]) == (THIRD, FIRST)
        assert list(told["quarantined"]) == [_digest(artifacts, SECOND)]
        assert set(told["loaded"]) >= {FIRST, THIRD}
        assert not nightshelf("restore").outcome["restored"]
        assert _values(redis_nodes) == before


def test_an_emptied_redis_is_restored(
    artifacts: Artifacts, redis_nodes: tuple[Node, ...], nightshelf: Nightshelf
) -> None:
    """The same live, previous and quarantine, and the same values of both releases."""
    nightshelf("releases")
    before = _values(redis_nodes)
    _empty(redis_nodes)
    assert nightshelf("restore").outcome["restored"]
    told = nightshelf("releases").outcome
    assert (told["live"], told["previous"]) == (THIRD, FIRST)
    assert list(told["quarantined"]) == [_digest(artifacts, SECOND)]
    kept = {key: value for key, value in before.items() if SECOND not in key}
    restored = _values(redis_nodes)
    for release in (FIRST, THIRD):
        # Restored by this version, a description names the kinds that it knows; nothing else of it differs.
        key = keys.meta("shelf", release)
        one, other = (parse_meta(base64.b64decode(found.pop(key))) for found in (kept, restored))
        assert one == replace(other, sources=one.sources)
        assert one.sources.items() <= other.sources.items()
    assert restored == kept


def test_releases_of_the_sample_stay_valid(artifacts: Artifacts, nightshelf: Nightshelf) -> None:
    """Publish, audit, why, canary and rollback take them, though no code of today would compute them."""
    assert artifacts.release(FIRST).manifest.is_file()
    assert nightshelf("publish", release=FIRST).outcome["release"] == FIRST
    assert nightshelf("audit --all", release=FIRST).outcome["differing"] == 0
    assert nightshelf("audit --all").outcome["differing"] == 0
    user = pl.read_parquet(artifacts.release(THIRD).lists)[tables.USER_ID][0]
    assert nightshelf("why", user=str(user)).outcome["release"] == THIRD
    because = {"by": "me", "reason": "x"}
    nightshelf("canary start", release=FIRST, share="0.5", **because)
    nightshelf("canary stop", **because)
    nightshelf("rollback", **because)
    told = nightshelf("releases").outcome
    assert told["live"] == FIRST
    assert set(told["quarantined"]) == {_digest(artifacts, SECOND), _digest(artifacts, THIRD)}


@pytest.mark.parametrize("step", ["train", "recommend", "evaluate --reference none"])
def test_the_sample_is_not_computed_again(
    step: str, artifacts: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    """A release without a number is refused by the steps that compute lists."""
    assert artifacts.release(THIRD).inputs.is_file()
    ended = command_line.run(capsys, *step.split(), "--release", THIRD)
    assert ended.exit_code == 4
    assert "begun without a LISTS_VERSION" in ended.outcome["error"]


def test_the_next_day_goes_live_and_is_served(
    artifacts: Artifacts, redis_nodes: tuple[Node, ...], nightshelf: Nightshelf
) -> None:
    """Run makes day 4 live over day 3; an edge replica answers its lists; day 3 can be gone back to; retire works."""
    approved = {"approved_by": "somebody", "reason": "a small sample"}
    done = nightshelf("run", partition=freeze.FOURTH, **approved).outcome
    fourth = done["release"]
    assert done["reference"] == THIRD
    told = nightshelf("releases").outcome
    assert (told["live"], told["previous"]) == (fourth, THIRD)
    lists = pl.read_parquet(artifacts.release(fourth).lists)
    with ending(start_replica(redis_nodes)) as replica:
        replica.wait_for(is_ready)
        for row in lists.rows(named=True):
            path = f"/v1/users/{row[tables.USER_ID]}/recommendations?limit=100"
            answer = json.loads(replica.get(path).body)
            assert answer["release"] == fourth
            assert [item["book_id"] for item in answer["items"]] == row[tables.BOOK_IDS]
            scores = [item["score"] for item in answer["items"]]
            assert scores == pytest.approx(row[tables.SCORES], rel=1e-3)  # four digits over HTTP
    assert nightshelf("audit --all").outcome["differing"] == 0
    nightshelf("retire")
    assert nightshelf("run", partition=freeze.FOURTH, **approved).outcome["already_live"]
    nightshelf("rollback", by="me", reason="x")
    assert nightshelf("releases").outcome["live"] == THIRD
