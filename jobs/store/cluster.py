"""The connection to the Redis Cluster, and its troubles told so that a person can act.

In: settings. Out: a `RedisCluster`, and calls that outlive a failover. Guarantees that an unreachable, full, read-only
or incomplete cluster becomes `TryLater` with what, where and what to do, and that other errors of Redis stay what
they are.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    ClusterError,
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from jobs.runtime.errors import BrokenInput, NightshelfError, TryLater, WrongUsage
from jobs.runtime.settings import Settings
from jobs.store.client import Client
from schemas.environment import node_list

_SOCKET_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 2.0
_SHOWN = 200

#: How long a failover is waited for: the node time-out (1.5 s), the election, and as much again.
FAILOVER_S = 10.0
_PAUSE_S = 0.25

#: What redis-py raises when Redis is in the way; the second is no RedisError.
TROUBLES = (RedisError, RedisClusterException)

_FAILING_OVER = (
    AskError,
    ClusterDownError,
    ClusterError,
    MovedError,
    ReadOnlyError,
    RedisClusterException,
    RedisConnectionError,
    RedisTimeoutError,
    SlotNotCoveredError,
    TryAgainError,
)

#: What makes a cluster of one node; the address is filled in.
_CLUSTER_MODE = (
    "`cluster-enabled yes` in its redis.conf (`redis-server --port {port} --cluster-enabled yes`)"
)
_ONE_NODE = "run `redis-cli -h {host} -p {port} cluster addslotsrange 0 16383`"

T = TypeVar("T")


@contextmanager
def connected(settings: Settings) -> Iterator[RedisCluster]:
    """Give a connection that reads from primaries; close it afterwards. Raises TryLater, BrokenInput and WrongUsage."""
    where = node_list(settings.redis)
    with _as_problem(where):
        cluster = Client(
            settings.redis,
            username=settings.redis_user,
            password=settings.redis_password,
            **_tls(settings),
            socket_timeout=_SOCKET_TIMEOUT_S,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
        )
        try:
            yield cluster
        finally:
            cluster.close()


def _tls(settings: Settings) -> dict[str, Any]:
    # A plain connection takes no word about certificates.
    if not settings.redis_tls:
        return {}
    return {"ssl": True, "ssl_ca_certs": str(settings.redis_ca) if settings.redis_ca else None}


def patiently(call: Callable[[], T]) -> T:
    """Return what `call` returns, repeating it for a while if a primary is failing over.

    redis-py repeats at once and gives up within a tenth of a second; a failover takes the node time-out and a second.
    `call` must be such that twice is as good as once. Raises the last error.
    """
    deadline = time.monotonic() + FAILOVER_S
    while True:
        try:
            return call()
        except _FAILING_OVER:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)


def together(
    cluster: RedisCluster, commands: Iterable[tuple[Any, ...]], *, raise_on_error: bool = True
) -> list[Any]:
    """Send commands to all shards at once, in a pipeline each, and return the answers in order; see `patiently`.

    Without `raise_on_error` an error that is no failover stands among the answers.
    """
    listed = list(commands)

    def send() -> list[Any]:
        with cluster.pipeline(transaction=False) as pipeline:
            for command in listed:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute(raise_on_error=raise_on_error)
        for answer in answers:
            if isinstance(answer, _FAILING_OVER):
                raise answer
        return answers

    return patiently(send)


def confirmed(cluster: RedisCluster, node: ClusterNode, timeout_ms: int = 1000) -> bool | None:
    """Wait until a Redis replica of this primary has all it was told so far.

    Returns whether one said so in time, None where there is no Redis replica.
    """
    # WAIT counts from the last command of its own connection.
    with cluster.get_redis_connection(node).client() as connection:
        if int(connection.info("replication")["connected_slaves"]) == 0:
            return None
        return int(connection.wait(1, timeout_ms)) >= 1


def all_confirmed(cluster: RedisCluster, timeout_ms: int = 1000) -> bool | None:
    """Return whether every shard has a Redis replica with all that its primary was told; None where there are none.

    Asked by the topology of now. Where no Redis replica confirms, it counts whether there is one that the cluster has
    not agreed to call failed: to a primary that was cut off none is connected, and a failover takes what it has alone.
    """
    patiently(cluster.nodes_manager.initialize)
    answers = {
        confirmed(cluster, primary, timeout_ms) or (False if _copied(cluster, primary) else None)
        for primary in cluster.get_primaries()
    }
    return None if answers == {None} else False not in answers


def _copied(cluster: RedisCluster, primary: ClusterNode) -> bool:
    # Not by CLUSTER SLOTS: it leaves out a Redis replica whose offset the asked node has not heard of yet.
    with cluster.get_redis_connection(primary).client() as connection:
        nodes = connection.execute_command("CLUSTER NODES")
        linked = connection.info("replication")
    (own,) = (node["node_id"] for node in nodes.values() if "myself" in node["flags"])
    named = {address for address, node in nodes.items() if node["master_id"] == own}
    failed = {address for address, node in nodes.items() if "fail" in node["flags"].split(",")}
    # A link is there up to a second before the cluster's bus tells whose Redis replica the node is.
    ends = (end for name, end in linked.items() if re.fullmatch(r"slave\d+", name))
    return bool((named | {f"{end['ip']}:{end['port']}" for end in ends}) - failed)


@contextmanager
def _as_problem(where: str) -> Iterator[None]:
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
    for kinds, signs, answers, what, do in _MEANINGS:
        if isinstance(error, kinds) and (not signs or any(sign in text for sign in signs)):
            host, _, port = where.split(",", maxsplit=1)[0].rpartition(":")
            steps = do.replace("{host}", host).replace("{port}", port)
            return answers(f"{what}: {text}", where, steps)
    return None


#: In this order: kinds of errors, what one of them must say (nothing: any), the message, what it means, what to do.
_MEANINGS: tuple[
    tuple[tuple[type[Exception], ...], tuple[str, ...], type[NightshelfError], str, str], ...
] = (
    (
        (RedisClusterException,),
        ("Cluster mode is not enabled",),
        BrokenInput,
        "this Redis does not run in cluster mode",
        f"one node makes a cluster: start it with {_CLUSTER_MODE}, then {_ONE_NODE}",
    ),
    (
        (RedisClusterException,),
        ("0 of 16384 covered",),
        BrokenInput,
        "this Redis runs in cluster mode, but no node has hash slots",
        f"with a single node {_ONE_NODE}; with more `redis-cli --cluster create HOST:PORT HOST:PORT ...`",
    ),
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
        (RedisClusterException,),
        ("slots are not covered",),
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
