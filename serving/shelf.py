"""What an edge replica knows: the pointer, and of each release it serves how to read it and what is popular.

In: the release registry and a release's description in Redis. Out: one immutable `View`. Guarantees that a release is
in the view only when its description and its popularity lists were read, so that an answer is made from one release.
"""

import functools
import time
from dataclasses import dataclass, field, replace

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

    @functools.cached_property
    def engines(self) -> tuple[str, ...]:
        """The sources of personal lists."""
        return tuple(kind.source for kind in self.meta.sources.values() if kind.reason is None)


class Unreadable(ValueError):
    """The description of a release is in a format that this version does not read."""


@dataclass(frozen=True)
class View:
    """What is served. `pointer` is None when it is gone from Redis; `live` is then the last one that was.

    `generation` is the greatest that a pointer ever had here, also after the pointer was gone. `unreadable` is the
    release that should be served but is in a format of a later version; what was served before stays.
    """

    pointer: Pointer | None
    live: Shelf | None
    canary: Shelf | None
    refreshed_at: float
    generation: int = 0
    unreadable: str | None = None


EMPTY = View(None, None, None, 0.0)


async def read_shelf(lookups: Lookups, namespace: str, release: str) -> Shelf | None:
    """Return a loaded release, or None when Redis does not hold it. Raises LookupFailed and Unreadable."""
    described, lists = keys.meta(namespace, release), keys.popular(namespace, release)
    raw = await lookups.read("GET", described)
    if raw is None:
        return None
    try:
        meta = parse_meta(raw)
    except ValueError as error:
        # Before the lists: one that stays live is asked for at every refresh.
        raise Unreadable(f"release {release} cannot be read") from error
    popular = await lookups.read("HGETALL", lists)
    if not popular:
        return None
    return Shelf(
        release=release,
        meta=meta,
        users_prefix=keys.users_prefix(namespace, release),
        similar_prefix=keys.similar_prefix(namespace, release),
        books_prefix=keys.books_prefix(namespace, release),
        popular={tag.decode(): value for tag, value in popular.items()},
    )


async def read_loaded(lookups: Lookups, namespace: str, release: str) -> Shelf | None:
    """Return a release that the release registry calls verified, or None. Raises LookupFailed and Unreadable."""
    registry, field = keys.registry(namespace), keys.release_field(release)
    raw: bytes | None = await lookups.read("HGET", registry, field)
    if raw is None or b'"verified"' not in raw:
        return None
    return await read_shelf(lookups, namespace, release)


async def read_pointer(lookups: Lookups, namespace: str) -> Pointer | None:
    """Return the live pointer, or None when there is none. Raises LookupFailed."""
    found: list[bytes | str | None] = await lookups.read(
        "HMGET", keys.registry(namespace), *keys.POINTER_FIELDS
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
    try:
        live = await _shelf(lookups, namespace, pointer.live, before)
    except Unreadable:
        return replace(before, refreshed_at=now, unreadable=pointer.live)
    canary, unreadable = None, None
    if pointer.canary:
        try:
            canary = await _shelf(lookups, namespace, pointer.canary, before)
        except Unreadable:
            unreadable = pointer.canary
    if live is None:
        # The pointer names a release whose keys are gone: answer from memory, as without a pointer.
        return View(None, before.live, None, now, before.generation)
    return View(pointer, live, canary, now, pointer.generation, unreadable)


async def _shelf(lookups: Lookups, namespace: str, release: str, before: View) -> Shelf | None:
    for shelf in (before.live, before.canary):
        if shelf is not None and shelf.release == release:
            return shelf
    return await read_shelf(lookups, namespace, release)
