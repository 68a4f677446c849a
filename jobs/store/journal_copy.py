"""The journal's copy in Redis, for those who can reach Redis and not the artifacts.

In: the durable journal. Out: a hash, entry number -> JSON. Guarantees that it never runs ahead of the durable one;
what is missing is brought up to date by the next change.
"""

import json
from pathlib import Path

from redis.cluster import RedisCluster

from jobs.release import journal
from schemas import keys


def bring_up_to_date(cluster: RedisCluster, namespace: str, folder: Path) -> int:
    """Copy the entries that the copy lacks and return how many these were."""
    key = keys.journal(namespace)
    known = {int(field) for field in cluster.hkeys(key)}
    missing = {
        str(entry["seq"]): json.dumps(entry, sort_keys=True)
        for entry in journal.read(folder)
        if entry["seq"] not in known
    }
    if missing:
        cluster.hset(key, items=[part for pair in missing.items() for part in pair])
    return len(missing)
