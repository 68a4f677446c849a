"""What the replica is measured against: a constant, and a handler as most would write it.

In: requests for recommendations. Out: the same body in both. Not part of the product.
"""

import os
from typing import Any

from prometheus_client import Counter, Histogram
from redis.asyncio.cluster import ClusterNode, RedisCluster
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from schemas import keys, values
from schemas.manifest import ReleaseMeta, parse_meta

_BODY = b'{"user_id":1,"items":[' + b",".join([b'{"book_id":1234,"score":0.1234}'] * 10) + b"]}"
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]


async def constant(scope: Any, _receive: Any, send: Any) -> None:
    """Answer every request with the same bytes: what this server can do at most."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


_COUNT = Counter("plain_requests", "Answers.", ["route", "status"])
_TIME = Histogram("plain_seconds", "Time.", ["route"])
_held: dict[str, Any] = {}


async def _meta() -> tuple[RedisCluster, ReleaseMeta]:
    if not _held:
        host, port = os.environ["NIGHTSHELF_REDIS"].split(",")[0].split(":")
        cluster = RedisCluster(startup_nodes=[ClusterNode(host, int(port))])
        release = (await cluster.hget(keys.registry("shelf"), keys.LIVE)).decode()  # type: ignore[union-attr]
        described: Any = await cluster.get(keys.meta("shelf", release))
        _held["meta"] = parse_meta(described)
        _held["cluster"] = cluster
    return _held["cluster"], _held["meta"]


async def _recommend(request: Request) -> JSONResponse:
    user_id = int(request.path_params["user_id"])
    with _TIME.labels("recommendations").time():
        cluster, meta = await _meta()
        prefix = keys.users_prefix("shelf", meta.release)
        value: Any = await cluster.hget(f"{prefix}{user_id % meta.user_buckets}", str(user_id))
        _, book_ids, scores = values.unpack(value, 10, meta.id_bytes)
        items = [{"book_id": b, "score": s} for b, s in zip(book_ids, scores, strict=True)]
    _COUNT.labels("recommendations", "200").inc()
    return JSONResponse({"user_id": user_id, "release": meta.release, "items": items})


plain = Starlette(routes=[Route("/v1/users/{user_id}/recommendations", _recommend)])
