"""Whether this Redis can be trusted to keep what it is given: from INFO, which needs no right to CONFIG.

In: a connection, and what is to be written. Out: findings in words with figures, or a refusal of a load that would push
out other lists. Changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from redis.cluster import RedisCluster

from jobs.runtime.errors import BrokenInput
from jobs.store.cluster import patiently
from jobs.store.encoding import Stored
from jobs.store.loading import Difference

#: What a value and a hash cost besides their bytes (tests/jobs/store/test_soundness.py compares with a real Redis).
_VALUE_BYTES = 80
_HASH_BYTES = 300
#: What the buffers of clients take for a moment while a release is loaded and read back.
_BUFFER_BYTES = 1 << 20

_FEW = 3

#: Policies that evict keys without an expiry, as all keys here are.
_EVICTS = "allkeys-"


@dataclass(frozen=True)
class Primary:
    """A primary as INFO describes it; `maxmemory` 0 is no limit, `used` is what counts against it, in bytes."""

    name: str
    policy: str
    maxmemory: int
    used: int
    redis_replicas: int

    @property
    def evicts(self) -> bool:
        """Whether it throws out lists when it is full."""
        return self.maxmemory > 0 and self.policy.startswith(_EVICTS)

    def lacks(self, needed: int) -> int:
        """Return by how many bytes its limit is too low for `needed` more."""
        if self.maxmemory == 0 or needed == 0:
            return 0
        return max(0, self.used + needed + _BUFFER_BYTES - self.maxmemory)


@dataclass(frozen=True)
class Finding:
    """Something that a person should change; `loses_data` when a load now would lose lists or the pointer."""

    code: str
    what: str
    where: str
    do: str
    loses_data: bool


def nodes(cluster: RedisCluster) -> list[Primary]:
    """Return all primaries. Raises what Redis raises."""

    def ask() -> list[Primary]:
        primaries: Any = cluster.get_primaries()
        return [_primary(node.name, cluster.info(target_nodes=node)) for node in primaries]

    return patiently(ask)


def redis_replicas(primaries: Iterable[Primary]) -> int:
    """Return how many Redis replicas are connected to these primaries."""
    return sum(primary.redis_replicas for primary in primaries)


def evicting(primaries: Iterable[Primary]) -> bool:
    """Say whether any of them throws out lists when it is full."""
    return any(primary.evicts for primary in primaries)


def hashes_at_once(primaries: Iterable[Primary]) -> int | None:
    """Return how many hashes may be read at once: few where an answer, until it is sent, throws out other lists."""
    return _FEW if evicting(primaries) else None


def needed(
    cluster: RedisCluster, what: Stored, wrong: Iterable[Difference] | None = None
) -> dict[str, int]:
    """Return about how many bytes a release takes on each node, or what of it is missing (`wrong`)."""
    missing = None if wrong is None else {one.key: one.missing for one in wrong}
    found: dict[str, int] = {}
    for key, fields in what.hashes.items():
        if missing is not None and key not in missing:
            continue
        values = fields if missing is None else {name: fields[name] for name in missing[key]}
        node: Any = cluster.get_node_from_key(key)
        size = sum(map(len, values)) + sum(map(len, values.values())) + _VALUE_BYTES * len(values)
        found[node.name] = found.get(node.name, 0) + size + len(key) + _HASH_BYTES
    return found


def require_room(found: Iterable[Finding]) -> None:
    """Raise BrokenInput when a load would make a node throw out other lists."""
    losing = [finding for finding in found if finding.loses_data]
    if losing:
        raise BrokenInput(
            f"this load would push other lists out of Redis: {'; '.join(f.what for f in losing)}",
            losing[-1].where,
            "; or ".join(finding.do for finding in losing)
            + "; `nightshelf publish --unsafe-store-ok` loads a release all the same",
        )


def last_redis_replicas(releases: Iterable[Mapping[str, Any]]) -> int | None:
    """Return how many Redis replicas there were when a release was last verified; None where nobody counted."""
    counted = [record for record in releases if "redis_replicas" in record]
    last = max(counted, key=lambda record: int(record["verified_at_ms"]), default=None)
    return None if last is None else int(last["redis_replicas"])


def findings(
    primaries: list[Primary], more: Mapping[str, int], replicas_before: int | None
) -> list[Finding]:
    """Return all that is wrong; `more` is what one more release takes on each node."""
    found = [*_eviction(primaries, more), *_memory(primaries, more)]
    now = redis_replicas(primaries)
    if replicas_before is not None and now < replicas_before:
        found.append(
            Finding(
                "redis_replicas",
                f"{now} Redis replicas are connected, {replicas_before} were when a release was last verified",
                ", ".join(p.name for p in primaries if not p.redis_replicas) or "the cluster",
                "start the missing nodes, or see `redis-cli cluster nodes` for why they are not connected",
                loses_data=False,
            )
        )
    return found


def _primary(name: str, info: Mapping[str, Any]) -> Primary:
    return Primary(
        name=name,
        policy=str(info.get("maxmemory_policy", "noeviction")),
        maxmemory=int(info.get("maxmemory", 0)),
        used=int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0)),
        redis_replicas=int(info.get("connected_slaves", 0)),
    )


def _eviction(primaries: list[Primary], more: Mapping[str, int]) -> list[Finding]:
    evicting_ones = [primary for primary in primaries if primary.policy.startswith(_EVICTS)]
    if not evicting_ones:
        return []
    policies = ", ".join(sorted({primary.policy for primary in evicting_ones}))
    full = any(primary.evicts and primary.lacks(more.get(primary.name, 0)) for primary in primaries)
    return [
        Finding(
            "eviction",
            f"maxmemory-policy is {policies}: lists are thrown out when Redis is full",
            ", ".join(primary.name for primary in evicting_ones),
            "set `maxmemory-policy noeviction` in redis.conf and by `redis-cli config set` on each node",
            loses_data=full,
        )
    ]


def _memory(primaries: list[Primary], more: Mapping[str, int]) -> list[Finding]:
    full = [(p, lacking) for p in primaries if (lacking := p.lacks(more.get(p.name, 0)))]
    if not full:
        return []
    return [
        Finding(
            "memory",
            f"maxmemory is too low for what is to be loaded: {_room(full, more)}",
            ", ".join(primary.name for primary, _ in full),
            "raise maxmemory, or run `nightshelf retire` with a lower NIGHTSHELF_KEEP_RELEASES",
            loses_data=any(primary.evicts for primary, _ in full),
        )
    ]


def _room(full: list[tuple[Primary, int]], more: Mapping[str, int]) -> str:
    return "; ".join(
        f"{node.name} uses {node.used} of {node.maxmemory} bytes, {more[node.name]} and {_BUFFER_BYTES} for buffers "
        f"are needed: {lacking} too few"
        for node, lacking in full
    )
