"""A shop with a store: four published days, the commands that its operator runs, its users' answers.

In: nodes of a real cluster, a folder of the test. Out: results of commands in this process, what Redis holds by a
plain client, answers of a real edge replica. Holds that nothing here repairs anything by itself.
"""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster

from jobs.store import changes
from schemas.environment import Node, node_list
from tests.harness.command_line import Result, run
from tests.harness.releases import write_release
from tests.harness.store import CATALOG
from tests.serving.conftest import Replica

USERS = 1000
DAYS = ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04")
BY = ("--by", "me", "--reason", "x")
_BATCH = 100


@dataclass
class Shop:
    """`days` are the ids of the published releases, the oldest first; the last one is live, the one before previous."""

    nodes: tuple[Node, ...]
    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    users: int = USERS
    length: int = 10
    days: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Point the commands to the cluster and to artifacts of this shop."""
        self.monkeypatch.setenv("NIGHTSHELF_REDIS", node_list(self.nodes))
        self.monkeypatch.setenv("NIGHTSHELF_RETIRE_GRACE_S", "0")
        # An intent without an outcome is a dead command's at once.
        self.monkeypatch.setattr(changes, "PATIENCE_S", 0.0)
        self.use("artifacts")

    @property
    def artifacts(self) -> Path:
        """The artifacts that commands work on."""
        return Path(os.environ["NIGHTSHELF_ARTIFACTS"])

    def use(self, name: str) -> None:
        """Let the following commands work on other artifacts."""
        self.monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(self.folder / name))

    def command(self, *arguments: object) -> Result:
        """Run a command to its end."""
        return run(self.capsys, *arguments)

    def done(self, *arguments: object) -> Result:
        """Run a command that has to end with 0."""
        result = self.command(*arguments)
        assert result.exit_code == 0, (arguments, result.exit_code, result.text)
        return result

    def refused(self, *arguments: object) -> Result:
        """Run a command that has to say why it did nothing, and to change neither Redis' catalog nor the journal."""
        registry, journal = self.registry(), self.journal()
        result = self.command(*arguments)
        assert result.exit_code == 4, (arguments, result.exit_code, result.text)
        for part in ("error: ", "do: "):
            assert part in result.text, result.text
        assert self.registry() == registry, arguments
        assert self.journal() == journal, arguments
        return result

    def write(self, day: str, variant: int = 0) -> str:
        """Write a release that passed everything and return its id."""
        folder = write_release(
            self.artifacts,
            day,
            users=self.users,
            books=200,
            variant=variant,
            length=self.length,
        )
        return folder.release

    def open(self) -> None:
        """Publish and activate four days."""
        for variant, day in enumerate(DAYS):
            self.days.append(self.write(day, variant))
            self.done("publish", "--release", self.days[-1])
            self.done("activate", "--release", self.days[-1])

    def copy_journal(self, name: str) -> Path:
        """Return a copy of the journal as it is now."""
        return Path(shutil.copytree(self.artifacts / "journal", self.folder / name))

    def put_back(self, copy: Path) -> None:
        """Let the journal come back from a copy."""
        shutil.rmtree(self.artifacts / "journal")
        shutil.copytree(copy, self.artifacts / "journal")

    def journal(self) -> dict[str, bytes]:
        """Return what the journal holds, by file."""
        files = (self.artifacts / "journal").glob("*.json")
        return {file.name: file.read_bytes() for file in files}

    def registry(self) -> dict[bytes, bytes]:
        """Return what Redis's catalog holds."""
        with self._cluster() as cluster:
            content: dict[bytes, bytes] = cluster.hgetall(CATALOG)
            return content

    def live(self) -> str:
        """Return the release that Redis says is live."""
        return self.registry()[b"live"].decode()

    def quarantined(self) -> set[bytes]:
        """Return the digests in Redis's quarantine."""
        return {name for name in self.registry() if name.startswith(b"quarantine:")}

    def primary_with_catalog(self) -> Node:
        """Return the primary that holds the catalog."""
        with self._cluster() as cluster:
            node = cluster.get_node_from_key(CATALOG)
            assert node is not None
            return Node(str(node.host), int(node.port))

    def others(self) -> list[Node]:
        """Return the primaries that do not hold the catalog."""
        return [node for node in self.nodes if node != self.primary_with_catalog()]

    def configure(self, **options: str | int) -> None:
        """Set options on every node; _ stands for -."""
        for node in self.nodes:
            with redis.Redis(host=node.host, port=node.port) as client:
                for name, value in options.items():
                    client.config_set(name.replace("_", "-"), value)

    def _cluster(self) -> RedisCluster:
        node = self.nodes[0]
        return RedisCluster(host=node.host, port=node.port, decode_responses=False)


def flush(node: Node) -> None:
    """Empty one node."""
    with redis.Redis(host=node.host, port=node.port) as client:
        client.flushall()


def used_memory(node: Node) -> int:
    """Return the bytes that a node uses."""
    with redis.Redis(host=node.host, port=node.port) as client:
        return int(client.info("memory")["used_memory"])


def in_batches(replica: Replica, users: Iterable[int]) -> list[dict[str, Any]]:
    """Return each user's answer; asked for by a hundred at a time."""
    asked = list(users)
    found: list[dict[str, Any]] = []
    for first in range(0, len(asked), _BATCH):
        query = "&".join(f"user_id={user}" for user in asked[first : first + _BATCH])
        answer = replica.get(f"/v1/recommendations?limit=1&{query}")
        assert answer.status == 200, answer.body
        found += json.loads(answer.body)["results"]
    return found


def one_by_one(replica: Replica, users: Iterable[int]) -> list[dict[str, Any]]:
    """Return each user's answer; asked for alone, as canaries need it."""
    answers = [replica.get(f"/v1/users/{user}/recommendations?limit=1") for user in users]
    return [json.loads(answer.body) for answer in answers]


def told(answers: list[dict[str, Any]]) -> set[tuple[str, str, str | None]]:
    """Return the different (release, source, reason) of answers."""
    return {(answer["release"], answer["source"], answer["reason"]) for answer in answers}
