"""The journal's copy in Redis, for those who can reach Redis and not the artifacts, and to compare histories with.

In: the durable journal. Out: a hash, entry number -> JSON with its checksum (0.1.0 wrote none). Guarantees that it
never runs ahead of the durable one; what is missing is brought up to date by the next change.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.cluster import RedisCluster

from jobs.release import checksum, journal
from jobs.store.cluster import patiently
from schemas import keys


@dataclass(frozen=True)
class Copy:
    """`entries` by number, and the text of those that are `altered`: their checksum does not fit."""

    entries: dict[int, dict[str, Any]] = field(default_factory=dict)
    altered: dict[int, str] = field(default_factory=dict)


def read(cluster: RedisCluster, namespace: str) -> Copy:
    """Return what Redis holds of the journal."""
    raw: dict[bytes, bytes] = patiently(lambda: cluster.hgetall(keys.journal(namespace)))  # type: ignore[return-value, arg-type]  # bytes are asked for
    found = {int(number): _opened(int(number), text) for number, text in raw.items()}
    return Copy(
        entries={seq: entry for seq, entry in sorted(found.items()) if entry is not None},
        altered={
            seq: raw[str(seq).encode()].decode(errors="replace")
            for seq, entry in found.items()
            if entry is None
        },
    )


def bring_up_to_date(cluster: RedisCluster, namespace: str, folder: Path) -> int:
    """Copy the entries that the copy lacks and return how many these were."""
    known = {int(number) for number in cluster.hkeys(keys.journal(namespace))}
    missing = [entry for entry in journal.read(folder) if entry["seq"] not in known]
    write(cluster, namespace, missing)
    return len(missing)


def write(cluster: RedisCluster, namespace: str, entries: list[dict[str, Any]]) -> None:
    """Write these entries, whatever stands under their numbers."""
    if entries:
        cluster.hset(keys.journal(namespace), items=_fields(entries))


def replace_from(
    cluster: RedisCluster, namespace: str, first: int, entries: list[dict[str, Any]]
) -> None:
    """Make the copy that of `entries`: what stands there from `first` on goes."""
    key = keys.journal(namespace)
    gone = [number for number in cluster.hkeys(key) if int(number) >= first]
    if gone:
        cluster.hdel(key, *gone)
    # In this order: killed in between, the copy is short, which the next command makes good.
    write(cluster, namespace, entries)


def _fields(entries: list[dict[str, Any]]) -> list[str]:
    return [
        part
        for entry in entries
        for part in (str(entry["seq"]), json.dumps(checksum.with_checksum(entry), sort_keys=True))
    ]


def _opened(seq: int, text: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
        checked = checksum.CHECK in content
        entry: dict[str, Any] | None = checksum.opened(text) if checked else content
        return entry if entry is not None and entry["seq"] == seq else None
    except (ValueError, KeyError, TypeError):
        return None
