"""Freeze a small store as the code of one version writes it: artifacts, journal, and what Redis holds.

In: the `nightshelf` command of the version to freeze, started against a real cluster. Out: `<version>.zip` with
`artifacts/` (drops of four days, releases and journal of the first three, without the pages for people) and
`redis.json` (every key: hashes as fields and values, strings as values, all base64). The store it holds: day 1 went
live, day 2 went live and was rolled back (its lists are quarantined), day 3 is live and day 1 is the previous one.

Later versions start from it in tests/frozen/test_frozen.py. Run it from the root of the version to freeze:

    python -m tests.frozen.freeze tests/frozen/VERSION.zip
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from redis.cluster import ClusterNode, RedisCluster

from schemas.environment import Node, node_list
from tests.conftest import running_cluster

FIRST, SECOND, THIRD, FOURTH = (f"2026-01-0{day}" for day in range(1, 5))
#: Of fixed content, so that two zips of the same store are the same bytes but for times and versions.
_AGE = (2026, 1, 1, 0, 0, 0)
_SOURCE = ("--users", "36", "--books", "56", "--ratings", "900", "--seed", "19")


def main() -> None:
    """Write the zip that the command line names."""
    (target,) = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="freeze-") as name:
        folder = Path(name)
        with running_cluster(folder / "redis") as nodes:
            _live_three_days(folder, nodes)
            _pack(target, folder / "artifacts", dump(nodes))
    print(f"{target}: {target.stat().st_size} bytes")


def _live_three_days(folder: Path, nodes: tuple[Node, ...]) -> None:
    approved = ("--approved-by", "somebody", "--reason", "a small sample")

    def nightshelf(*arguments: str) -> None:
        environment = {
            **os.environ,
            "NIGHTSHELF_ARTIFACTS": str(folder / "artifacts"),
            "NIGHTSHELF_REDIS": node_list(nodes),
            "NIGHTSHELF_ROWS_MAX_RATIO": "10",
        }
        command = str(Path(sys.executable).with_name("nightshelf"))
        subprocess.run([command, *arguments], check=True, env=environment)

    nightshelf("synthesize", "--out", str(folder / "source"), *_SOURCE)
    nightshelf(
        *("replay", "--source", str(folder / "source"), "--from", FIRST, "--to", FOURTH),
        *("--first-day-share", "0.7"),
    )
    nightshelf("run", "--partition", FIRST, *approved)
    nightshelf("run", "--partition", SECOND, *approved)
    nightshelf("rollback", "--by", "somebody", "--reason", "to have a quarantine")
    nightshelf("run", "--partition", THIRD, *approved)


def dump(nodes: tuple[Node, ...]) -> dict[str, Any]:
    """Return every key of a cluster: a string's value, or a hash's fields and values, as base64."""
    with RedisCluster(startup_nodes=[ClusterNode(n.host, n.port) for n in nodes]) as cluster:
        return {key.decode(): _value(cluster, key) for key in sorted(cluster.scan_iter(count=1000))}


def _value(cluster: RedisCluster, key: bytes) -> str | dict[str, str]:
    if cluster.type(key) == b"string":
        return _text(cluster.get(key))
    fields: dict[bytes, bytes] = cluster.hgetall(key)  # type: ignore[assignment]  # bytes are asked for
    return {_text(name): _text(value) for name, value in sorted(fields.items())}


def load(nodes: tuple[Node, ...], content: dict[str, Any]) -> None:
    """Write what `dump` returned into an empty cluster."""
    with RedisCluster(startup_nodes=[ClusterNode(n.host, n.port) for n in nodes]) as cluster:
        for key, value in content.items():
            if isinstance(value, str):
                cluster.set(key, base64.b64decode(value))
            else:
                fields = {base64.b64decode(f): base64.b64decode(v) for f, v in value.items()}
                cluster.hset(key, mapping=fields)


def _text(value: Any) -> str:
    return base64.b64encode(value).decode()


def _pack(target: Path, artifacts: Path, keys: dict[str, Any]) -> None:
    target.unlink(missing_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as packed:
        for path in sorted(artifacts.rglob("*")):
            if path.is_file() and path.suffix != ".html":
                _add(packed, str(path.relative_to(artifacts.parent)), path.read_bytes())
        _add(packed, "redis.json", json.dumps(keys, sort_keys=True).encode())


def _add(packed: zipfile.ZipFile, name: str, content: bytes) -> None:
    packed.writestr(zipfile.ZipInfo(name, _AGE), content, zipfile.ZIP_LZMA)


if __name__ == "__main__":
    main()
