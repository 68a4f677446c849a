"""The connection to the Redis Cluster, and its troubles told so that a person can act.

In: settings. Out: a `RedisCluster`. Guarantees that an unreachable, full, read-only or incomplete cluster becomes
`TryLater` with what, where and what to do, and that other errors of Redis stay what they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    ClusterError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    SlotNotCoveredError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from jobs.runtime.errors import TryLater, WrongUsage
from jobs.runtime.settings import Settings

_SOCKET_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 2.0


@contextmanager
def connected(settings: Settings) -> Iterator[RedisCluster]:
    """Give a connection that reads from primaries; close it afterwards. Raises TryLater and WrongUsage."""
    where = ",".join(f"{node.host}:{node.port}" for node in settings.redis)
    with _told(where):
        cluster = RedisCluster(
            startup_nodes=[ClusterNode(node.host, node.port) for node in settings.redis],
            username=settings.redis_user,
            password=settings.redis_password,
            socket_timeout=_SOCKET_TIMEOUT_S,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
        )
        try:
            yield cluster
        finally:
            cluster.close()


@contextmanager
def _told(where: str) -> Iterator[None]:
    try:
        yield
    except (AuthenticationError, NoPermissionError) as error:
        raise WrongUsage(
            f"Redis refuses this user: {error}",
            where,
            "set NIGHTSHELF_REDIS_USER and NIGHTSHELF_REDIS_PASSWORD to a user that may do this",
        ) from error
    except OutOfMemoryError as error:
        raise _full(where) from error
    except ReadOnlyError as error:
        raise TryLater(
            f"Redis is read-only: {error}", where, "wait for the failover to end, then run again"
        ) from error
    except (ClusterDownError, SlotNotCoveredError, ClusterError) as error:
        raise TryLater(
            f"the Redis Cluster is not whole: {error}",
            where,
            "see `redis-cli cluster info`; run again when it says cluster_state:ok",
        ) from error
    except (RedisConnectionError, RedisTimeoutError, RedisClusterException) as error:
        raise TryLater(
            f"Redis cannot be reached: {str(error).splitlines()[0]}",
            where,
            "check NIGHTSHELF_REDIS and that the cluster runs, then run the step again",
        ) from error
    except ResponseError as error:
        if "OOM" in str(error):  # so it reads when a script met it
            raise _full(where) from error
        if "MISCONF" not in str(error) and "NOREPLICAS" not in str(error):
            raise
        raise TryLater(
            f"Redis takes no writes: {error}", where, "mend Redis, then run again"
        ) from error


def _full(where: str) -> TryLater:
    return TryLater(
        "Redis is out of memory (maxmemory with noeviction); the live release is untouched",
        where,
        "run `nightshelf retire`, or raise maxmemory, then run the step again",
    )
