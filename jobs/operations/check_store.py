"""Check the store: can this Redis lose what it is given, and does one more release fit?

In: INFO of every primary, the release registry, and the release that is to be loaded, if one is named. Out: findings,
each with figures and what to do. Changes nothing.
"""

from dataclasses import dataclass
from typing import Any

from redis.cluster import RedisCluster

from jobs.release import manifest
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.settings import Settings
from jobs.store import encoding, removal, soundness
from jobs.store.cluster import connected
from jobs.store.registry import Content, Registry
from jobs.store.soundness import Finding, Primary
from schemas.manifest import partition_of


@dataclass(frozen=True)
class CheckStoreResult:
    """What was found: nothing when `sound`; `loses_data` when loading one more release would lose lists.

    `more_bytes` is about what that release takes on each primary: the named one's, else the live one's size; empty
    where neither is known. `redis_replicas_before` is None where no verified release counted them.
    """

    sound: bool
    loses_data: bool
    findings: list[Finding]
    primaries: list[Primary]
    more_bytes: dict[str, int]
    redis_replicas: int
    redis_replicas_before: int | None


def run(
    artifacts: Artifacts, settings: Settings, *, release: str | None = None
) -> CheckStoreResult:
    """Look at the store. Raises BrokenInput for a Redis that is no cluster, TryLater when it cannot be reached."""
    with connected(settings) as cluster:
        content = Registry(cluster, settings.namespace).read()
        primaries = soundness.nodes(cluster)
        if release is None:
            more = _like_the_live_one(cluster, settings.namespace, content)
        else:
            folder = artifacts.release(release)
            what = encoding.stored(folder, settings.namespace, _described(folder))
            more = soundness.needed(cluster, what)
    before = soundness.last_redis_replicas(content.releases.values())
    # Where no size is known a node that is full already is still found.
    examined = more or {primary.name: 1 for primary in primaries}
    findings = soundness.findings(primaries, examined, before)
    return CheckStoreResult(
        sound=not findings,
        loses_data=any(finding.loses_data for finding in findings),
        findings=findings,
        primaries=primaries,
        more_bytes=more,
        redis_replicas=soundness.redis_replicas(primaries),
        redis_replicas_before=before,
    )


def _described(folder: ReleaseFolder) -> dict[str, Any]:
    """Return what the manifest will say of the lists: it is written when they are published."""
    by_file = manifest.digests(folder)
    return {
        "files": by_file,
        "digest": manifest.digest(by_file),
        "partition": partition_of(folder.release),
        "data_as_of": "",
        "trained_at": "",
    }


def _like_the_live_one(cluster: RedisCluster, namespace: str, content: Content) -> dict[str, int]:
    """Return what the live release takes on each primary, by its record; empty where that does not say."""
    live = content.pointer.live if content.pointer else None
    record: dict[str, Any] = content.releases.get(live or "", {})
    if live is None or "bytes" not in record:
        return {}
    names = removal.key_names(namespace, live, *record["shape"])
    each = int(record["bytes"]) / len(names)
    found: dict[str, float] = {}
    for name in names:
        node: Any = cluster.get_node_from_key(name)
        found[node.name] = found.get(node.name, 0) + each
    return {name: round(size) for name, size in found.items()}
