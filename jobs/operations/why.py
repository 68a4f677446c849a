"""Explain an answer (`nightshelf why`): from a user's list back to the user's own ratings.

In: a user id. Out: pointer, release, manifest and run, the list as it is stored with titles, the user's accepted
rows. Guarantees that what is shown is what an edge replica reads. Changes nothing.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import polars as pl
from redis.cluster import RedisCluster

from jobs.model import explanation
from jobs.model import settings as model_settings
from jobs.model.two_stage import explanation as two_stage_explanation
from jobs.release import manifest
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.errors import BrokenInput, WrongUsage
from jobs.runtime.settings import Settings
from jobs.runtime.table_files import read_table
from jobs.store.cluster import connected
from jobs.store.registry import Registry
from schemas import keys, values
from schemas.manifest import ReleaseMeta, parse_meta
from schemas.sources import CATALOGUE_EXHAUSTED, POPULARITY, UNKNOWN_USER, Source
from schemas.tables import ALL_BOOKS, ARRIVED_AT, BOOK_ID, RATING, SOURCE_ROW, TITLE, USER_ID

_UNKNOWN = Source(POPULARITY, UNKNOWN_USER)


@dataclass(frozen=True)
class WhyResult:
    """An answer and where it came from, `source` and `reason` as over HTTP; `ratings` the newest first.

    `because` holds the read books that speak most for a book, by the vectors of the engine (of two stages ALS);
    `ranked` is what the ranker of two stages makes of it.
    `list_lost` says that the release has a list for the user which Redis has lost, so that a popularity list answers.
    """

    user_id: int
    generation: int
    release: str
    canary: bool
    source: str
    reason: str | None
    items: list[dict[str, Any]]
    ratings: list[dict[str, Any]]
    because: list[dict[str, Any]] | None
    data_as_of: str
    trained_at: str
    run_by: str
    manifest: str
    list_lost: bool = False
    ranked: dict[str, Any] | None = None


def run(
    artifacts: Artifacts,
    settings: Settings,
    user_id: int,
    *,
    limit: int = 10,
    book_id: int | None = None,
) -> WhyResult:
    """Return what the live release says to a user and why; with `book_id` also what speaks for that book.

    Raises WrongUsage when no release is live, or when the book cannot be explained to the user; BrokenInput when
    the release's files are not under the artifacts.
    """
    with connected(settings) as cluster:
        content = Registry(cluster, settings.namespace).read()
        if content.pointer is None:
            raise WrongUsage(
                "no release is live", "the release registry", "run `nightshelf restore`"
            )
        release = content.pointer.release_for(user_id)
        raw: Any = cluster.get(keys.meta(settings.namespace, release))
        if raw is None:
            raise BrokenInput(
                "the live release is not in Redis", release, "run `nightshelf restore`"
            )
        meta = _described(raw, release)
        source, value = _value(cluster, settings.namespace, meta, user_id)
    folder = artifacts.release(release)
    described = manifest.read(folder)
    titles = dict(read_table(folder.books, "extract", [BOOK_ID, TITLE]).rows())
    _, book_ids, scores = values.unpack(value, limit, meta.id_bytes)
    return WhyResult(
        user_id=user_id,
        generation=content.generation,
        release=release,
        canary=release == content.pointer.canary,
        source=source.source,
        reason=source.reason,
        items=[
            {BOOK_ID: book, "score": score, TITLE: titles[book]}
            for book, score in zip(book_ids, scores, strict=True)
        ],
        ratings=_ratings(folder, user_id, titles),
        because=_contributions(folder, user_id, book_id, titles) if book_id is not None else None,
        data_as_of=meta.data_as_of,
        trained_at=meta.trained_at,
        run_by=described["run_by"],
        manifest=str(folder.manifest),
        list_lost=source == _UNKNOWN and _has_list(folder, user_id),
        ranked=_ranked(folder, user_id, book_id) if book_id is not None else None,
    )


def _ranked(folder: ReleaseFolder, user_id: int, book_id: int) -> dict[str, Any] | None:
    """Return what the ranker makes of a book; None for an engine of one stage, or a book that it did not rank."""
    if model_settings.of_release(folder).two_stage is None:
        return None
    found = two_stage_explanation.ranked(folder, user_id, book_id)
    return asdict(found) if found else None


def _described(raw: bytes, release: str) -> ReleaseMeta:
    try:
        return parse_meta(raw)
    except ValueError as error:
        raise BrokenInput(
            "the release is in a format that this version does not read",
            f"the description of {release} in Redis",
            "run this command in the version that loaded the release",
        ) from error


def _has_list(folder: ReleaseFolder, user_id: int) -> bool:
    """Say whether the release's files hold a list for a user."""
    found = pl.scan_parquet(folder.lists).filter(pl.col(USER_ID) == user_id).select(USER_ID)
    return not found.collect().is_empty()


def _value(
    cluster: RedisCluster, namespace: str, meta: ReleaseMeta, user_id: int
) -> tuple[Source, bytes]:
    """Return source, reason and list of a user as an edge replica finds them."""
    prefix = keys.users_prefix(namespace, meta.release)
    bucket = keys.bucket(user_id, meta.user_buckets)
    found: Any = cluster.hget(f"{prefix}{bucket}", str(user_id))
    if found is not None:
        kind = meta.sources[found[0]]
        if not values.length(found, meta.id_bytes):
            kind = replace(kind, reason=CATALOGUE_EXHAUSTED)
        return kind, found
    popular: Any = cluster.hget(keys.popular(namespace, meta.release), ALL_BOOKS)
    if popular is None:
        raise BrokenInput(
            "the popularity list is not in Redis", meta.release, "run `nightshelf restore`"
        )
    return _UNKNOWN, popular


def _contributions(
    folder: ReleaseFolder, user_id: int, book_id: int, titles: dict[int, str]
) -> list[dict[str, Any]]:
    """Return the three read books that speak most for a book, the strongest first."""
    return [
        {**asdict(one), TITLE: titles[one.book_id]}
        for one in explanation.contributions(folder, user_id, book_id)
    ]


def _ratings(folder: ReleaseFolder, user_id: int, titles: dict[int, str]) -> list[dict[str, Any]]:
    """Return the user's accepted rows, the newest first: the table is in order of arrival."""
    columns = [USER_ID, BOOK_ID, RATING, ARRIVED_AT, SOURCE_ROW]
    rows = (
        read_table(folder.interactions, "extract", columns)
        .filter(pl.col(USER_ID) == user_id)
        .reverse()
    )
    return [
        {
            BOOK_ID: row[BOOK_ID],
            TITLE: titles[row[BOOK_ID]],
            RATING: row[RATING],
            ARRIVED_AT: row[ARRIVED_AT].isoformat(),
            SOURCE_ROW: row[SOURCE_ROW],
        }
        for row in rows.iter_rows(named=True)
    ]
