"""A client of the Redis Cluster for a process that connects often.

In: addresses. Out: a `RedisCluster`. Guarantees that a process asks each cluster once what commands it knows, or
again when it needs one that was not among them; redis-py asks with every client, and reads its own version with
every connection: two thirds of the time that connecting takes.
"""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

from redis.cluster import ClusterNode, RedisCluster
from redis.driver_info import DriverInfo

from schemas.environment import Node, node_list


class Client(RedisCluster):
    """A connection to the nodes of one cluster, with redis-py's own options."""

    _known: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, nodes: Sequence[Node], **options: Any) -> None:
        """Connect; raises what redis-py raises."""
        self._where = node_list(tuple(nodes))
        self._has_commands = False
        super().__init__(
            startup_nodes=[ClusterNode(node.host, node.port) for node in nodes],
            driver_info=_driver(),
            **options,
        )

    def command(self, **options: Any) -> dict[str, dict[str, Any]]:
        """Return what Redis says of each command; redis-py asks again for one that is not among them."""
        if self._has_commands or self._where not in self._known:
            self._known[self._where] = super().command(**options)
        self._has_commands = True
        return self._known[self._where]


@functools.cache
def _driver() -> DriverInfo:
    return DriverInfo()
