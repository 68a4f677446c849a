"""The edge: what is served now, and the answer to "what for this user?".

In: settings, then users and books. Out: lists from exactly one release. Guarantees an answer within the deadline once
a popularity list was ever read, and that a fallback says that it is one.
"""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator

from schemas import keys, sources
from serving import answers
from serving.answers import Header
from serving.lookup import LookupFailed, Lookups
from serving.metrics import Metrics
from serving.settings import Settings
from serving.shelf import EMPTY, Shelf, Unreadable, View, read_loaded, read_view
from serving.trouble import Seldom
from serving.workers import Siblings

_LOG = logging.getLogger(__name__)
#: How long the description and the popularity lists of a release that a client names may take together.
_NAMED_DEADLINES = 4


class Unavailable(Exception):  # answered as 503
    """What is asked for cannot be answered now; the message says why."""


class Edge:
    """The state of one edge replica: its view of the releases, its way to Redis, its metrics."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is connected before `start`."""
        self.settings = settings
        self.view: View = EMPTY
        self.stopping = False
        self.metrics = Metrics(lambda: self.view, settings.instance)
        self._seldom = Seldom()
        self._kept = _Kept(settings.cache_max_age_s)
        self._follower: asyncio.Task[None] | None = None
        folder = settings.edge_workers_folder
        self._siblings = Siblings(folder, self.metrics.text) if folder else None
        self.lookups: Lookups

    async def start(self) -> None:
        """Connect, read the view once if Redis answers, and follow the pointer from then on."""
        if self._siblings is not None:
            await self._siblings.start()
        self.lookups = Lookups(self.settings, self.metrics.observe_lookup)
        await self._refresh()
        self._follower = asyncio.create_task(self._follow())
        # What start-up made lives for ever; collecting it again and again tripled the p99 under load.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)

    async def stop(self) -> None:
        """Stop following and close the connections."""
        if self._follower is not None:
            self._follower.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._follower
        await self.lookups.close()
        if self._siblings is not None:
            await self._siblings.stop()

    async def exposition(self) -> bytes:
        """Return the metrics of this replica, of all its workers if it has several."""
        return await self._siblings.text() if self._siblings else self.metrics.text()

    @property
    def fresh(self) -> bool:
        """Whether the pointer was read lately enough to look lists up by it."""
        return self._left_s >= 0

    @property
    def _left_s(self) -> float:
        """For how many seconds more the pointer is followed if it cannot be read again."""
        return self.settings.pointer_max_age_s - (time.monotonic() - self.view.refreshed_at)

    @property
    def cached(self) -> Header:
        """How long a cache in front may keep an answer that is given now."""
        return self._kept[int(self._left_s)]

    def shelf(self) -> Shelf:
        """Return the live release. Raises Unavailable when none was ever read."""
        if self.view.live is None:
            raise Unavailable("no release has been read yet")
        return self.view.live

    def degradation(self) -> str | None:
        """Return why lists cannot be looked up at all, or None."""
        if not self.fresh:
            return sources.STORE_UNAVAILABLE
        return sources.NO_RELEASE if self.view.pointer is None else None

    async def value(self, shelf: Shelf, prefix: str, buckets: int, entity: int) -> bytes | None:
        """Return what a release holds for a user or book, None where it holds nothing for it.

        Raises LookupFailed also when the store has lost it and is perhaps about to have it again: when the complete
        hash is gone, or the description, which is removed first and written last.
        """
        key = f"{prefix}{entity % buckets}"
        deadline_s = self.settings.lookup_deadline_ms / 1000
        started = time.perf_counter()
        found: bytes | None = await self.lookups.ask("HGET", key, str(entity))
        if found is None:
            # The proof that there is nothing is part of the look-up: batches mostly hold somebody unknown, and with a
            # time of its own it took the 99th percentile to 180 ms while a node was gone.
            async with _in_time(deadline_s - (time.perf_counter() - started)):
                described = keys.meta(self.settings.namespace, shelf.release)
                exist = (self.lookups.ask("EXISTS", name) for name in (described, key))
                if not all(await asyncio.gather(*exist)):
                    # One message for all keys: a flushed node loses a thousand.
                    self._seldom.warn(
                        "keys of a release are missing, e.g. of %s: %s or its description; run `nightshelf restore`",
                        shelf.release,
                        key,
                    )
                    raise LookupFailed
                # Asked again: what was not there may have been loaded before the two were asked for.
                found = await self.lookups.ask("HGET", key, str(entity))
        return found

    async def user_list(
        self, shelf: Shelf, user_id: int, limit: int
    ) -> tuple[str, str | None, str]:
        """Return (source, reason, inside of the JSON array) of a user's list in a release; never raises."""
        meta = shelf.meta
        reason = self.degradation()
        if reason is None:
            try:
                value = await self.value(shelf, shelf.users_prefix, meta.user_buckets, user_id)
            except LookupFailed:
                reason = sources.STORE_UNAVAILABLE
            else:
                kind = meta.sources.get(value[0]) if value is not None else None
                if value is not None and kind is not None:
                    inside = answers.items(value, limit, meta.id_bytes)
                    # A list is empty only where its user has rated the complete catalogue.
                    exhausted = sources.CATALOGUE_EXHAUSTED
                    return kind.source, kind.reason if inside else exhausted, inside
                reason = sources.UNKNOWN_USER
                if value is not None:
                    reason = sources.STORE_UNAVAILABLE
                    self._seldom.warn(
                        "%s does not name kind %s of its lists; load it again",
                        shelf.release,
                        value[0],
                    )
        return sources.POPULARITY, reason, answers.items(shelf.popular[""], limit, meta.id_bytes)

    async def _refresh(self) -> None:
        try:
            self.view = await read_view(self.lookups, self.settings.namespace, self.view)
        except LookupFailed as error:
            self.metrics.regressions.inc()
            if str(error):
                self._seldom.warn("the pointer is refused: %s; run `nightshelf restore`", error)
        else:
            if self.view.unreadable is not None:
                self._seldom.warn(
                    "release %s is in a format that this version does not read; %s stays; upgrade this replica",
                    self.view.unreadable,
                    self.view.live.release if self.view.live else "no release",
                )
            elif self.view.pointer is None:
                self._seldom.warn(
                    "no release is live in the namespace %s, or its keys are gone: activate one, run "
                    "`nightshelf restore`, or check NIGHTSHELF_NAMESPACE",
                    self.settings.namespace,
                )

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self.settings.pointer_refresh_ms / 1000)
            try:
                await self._refresh()
            except Exception:  # noqa: BLE001  # the loop is the replica's life
                _LOG.exception("the pointer could not be followed")
                self.metrics.regressions.inc()


class _Kept(dict[int, Header]):
    """Cache-Control of answers, by the full seconds for which the pointer behind them is still followed.

    A cache may show an answer as long again while it renews it, and the last one while nobody answers, but never for
    longer than the replica itself would have given it.
    """

    def __init__(self, max_age_s: int) -> None:
        super().__init__()
        self._max_age_s = max_age_s

    def __missing__(self, left_s: int) -> Header:
        fresh_s = max(0, min(self._max_age_s, left_s))
        more_s = max(0, left_s - fresh_s)
        value = b"public, max-age=%d, stale-while-revalidate=%d, stale-if-error=%d"
        value %= (fresh_s, min(self._max_age_s, more_s), more_s)
        header = self[left_s] = (b"cache-control", value)
        return header


class UnknownRelease(Exception):  # answered as 404
    """The named release is not loaded."""


async def named_shelf(edge: Edge, release: str) -> Shelf:
    """Return any loaded and verified release. Raises UnknownRelease, and Unavailable when the store does not say."""
    for shelf in (edge.view.live, edge.view.canary):
        if shelf is not None and shelf.release == release:
            return shelf
    try:
        async with _in_time(_NAMED_DEADLINES * edge.settings.lookup_deadline_ms / 1000):
            shelf = await read_loaded(edge.lookups, edge.settings.namespace, release)
    except LookupFailed as error:
        raise Unavailable(f"the store did not say in time whether {release} is loaded") from error
    except Unreadable as error:
        raise Unavailable(f"{error}: upgrade this replica") from error
    if shelf is None:
        raise UnknownRelease(f"release {release} is not loaded")
    return shelf


@contextlib.asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    """End what takes longer with LookupFailed.

    What a client waits for must not take the second that a probe may: NGINX leaves a replica alone that is silent for
    300 ms.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise LookupFailed from error
