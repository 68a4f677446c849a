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
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from jobs.runtime.errors import NightshelfError, TryLater, WrongUsage
from jobs.runtime.settings import Settings

_SOCKET_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 2.0
_SHOWN = 200

#: What redis-py raises when Redis is in the way; the second is no RedisError.
TROUBLES = (RedisError, RedisClusterException)


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
    except TROUBLES as error:
        # A connection that cannot be set up comes as RedisClusterException around the reason.
        cause = error.__cause__
        reason: Exception = cause if isinstance(cause, RedisError) else error
        meaning = _meaning(reason, where)
        if meaning is None:
            raise
        raise meaning from error


def _meaning(error: Exception, where: str) -> NightshelfError | None:
    """Return what an error means to a person, None for a defect."""
    # A message about a pipeline names the command, which may be long and not text.
    text = str(error).split("of pipeline caused error: ")[-1].splitlines()[0][:_SHOWN]
    for kinds, signs, told, what, do in _MEANINGS:
        if isinstance(error, kinds) and (not signs or any(sign in text for sign in signs)):
            return told(f"{what}: {text}", where, do)
    return None


#: In this order: kinds of errors, what one of them must say (nothing: any), how it is told, what it means, what to do.
_MEANINGS: tuple[
    tuple[tuple[type[Exception], ...], tuple[str, ...], type[NightshelfError], str, str], ...
] = (
    (
        (AuthenticationError, NoPermissionError),
        (),
        WrongUsage,
        "Redis refuses this user",
        "set NIGHTSHELF_REDIS_USER and NIGHTSHELF_REDIS_PASSWORD to a user that may do this",
    ),
    (
        (ResponseError,),
        ("OOM", "maxmemory", "used memory"),
        TryLater,
        "Redis is out of memory (maxmemory with noeviction); the live release is untouched",
        "run `nightshelf retire`, or raise maxmemory, then run the step again",
    ),
    (
        (ReadOnlyError,),
        (),
        TryLater,
        "Redis is read-only",
        "wait for the failover to end, then run again",
    ),
    (
        (ClusterDownError, SlotNotCoveredError, ClusterError),
        (),
        TryLater,
        "the Redis Cluster is not whole",
        "see `redis-cli cluster info`; run again when it says cluster_state:ok",
    ),
    (
        (RedisConnectionError, RedisTimeoutError, RedisClusterException),
        (),
        TryLater,
        "Redis cannot be reached",
        "check NIGHTSHELF_REDIS and that the cluster runs, then run the step again",
    ),
    (
        (ResponseError,),
        ("MISCONF", "NOREPLICAS"),
        TryLater,
        "Redis takes no writes",
        "mend Redis, then run again",
    ),
)
