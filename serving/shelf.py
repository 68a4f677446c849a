"""What an edge replica knows: the pointer, and of each release it serves how to read it and what is popular.

In: the catalog and a release's description in Redis. Out: one immutable `View`. Guarantees that a release is in the
view only when its description and its popularity lists were read, so that an answer is made from one release.
"""

import time
from dataclasses import dataclass, field

from schemas import keys
from schemas.manifest import ReleaseMeta, parse_meta
from schemas.pointer import Pointer, parse_pointer
from serving.lookup import LookupFailed, Lookups


@dataclass(frozen=True)
class Shelf:
    """One release: its key prefixes and its popularity lists, packed, by tag."""

    release: str
    meta: ReleaseMeta
    users_prefix: str
    similar_prefix: str
    books_prefix: str
    popular: dict[str, bytes]
    read_at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class View:
    """What is served. `pointer` is None when it is gone from Redis; `live` is then the last one that was.

    `generation` is the greatest that a pointer ever had here, also after the pointer was gone.
    """

    pointer: Pointer | None
    live: Shelf | None
    canary: Shelf | None
    refreshed_at: float
    generation: int = 0


EMPTY = View(None, None, None, 0.0)


async def read_shelf(lookups: Lookups, namespace: str, release: str) -> Shelf | None:
    """Return a loaded release, or None when Redis does not hold it. Raises LookupFailed."""
    described, lists = keys.meta(namespace, release), keys.popular(namespace, release)
    raw = await lookups.read("GET", described)
    popular = await lookups.read("HGETALL", lists)
    if raw is None or not popular:
        return None
    return Shelf(
        release=release,
        meta=parse_meta(raw),
        users_prefix=keys.users_prefix(namespace, release),
        similar_prefix=keys.similar_prefix(namespace, release),
        books_prefix=keys.books_prefix(namespace, release),
        popular={tag.decode(): value for tag, value in popular.items()},
    )


async def read_loaded(lookups: Lookups, namespace: str, release: str) -> Shelf | None:
    """Return a release that the catalog calls verified, or None. Raises LookupFailed."""
    catalog, field = keys.catalog(namespace), keys.release_field(release)
    raw: bytes | None = await lookups.read("HGET", catalog, field)
    if raw is None or b'"verified"' not in raw:
        return None
    return await read_shelf(lookups, namespace, release)


async def read_pointer(lookups: Lookups, namespace: str) -> Pointer | None:
    """Return the live pointer, or None when there is none. Raises LookupFailed."""
    found: list[bytes | str | None] = await lookups.read(
        "HMGET", keys.catalog(namespace), *keys.POINTER_FIELDS
    )
    return parse_pointer(found)


async def read_view(lookups: Lookups, namespace: str, before: View) -> View:
    """Return the view of now, reusing the shelves of `before`.

    A generation lower than one seen before is refused: a failover may have lost the newest pointer, and going back in
    time is worse than waiting for `restore`, which writes a higher one. Raises LookupFailed.
    """
    pointer = await read_pointer(lookups, namespace)
    now = time.monotonic()
    if pointer is None:
        return View(None, before.live, None, now, before.generation)
    if pointer.generation < before.generation:
        raise LookupFailed(
            f"the pointer went back from generation {before.generation} to {pointer.generation}"
        )
    live = await _shelf(lookups, namespace, pointer.live, before)
    canary = await _shelf(lookups, namespace, pointer.canary, before) if pointer.canary else None
    if live is None:
        # The pointer names a release whose keys are gone: answer from memory, as without a pointer.
        return View(None, before.live, None, now, before.generation)
    return View(pointer, live, canary, now, pointer.generation)


async def _shelf(lookups: Lookups, namespace: str, release: str, before: View) -> Shelf | None:
    for shelf in (before.live, before.canary):
        if shelf is not None and shelf.release == release:
            return shelf
    return await read_shelf(lookups, namespace, release)
