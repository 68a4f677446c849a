"""A release's parquet files as the hashes that stand in Redis.

In: a release folder. Out: every key with its fields and values. Guarantees that the same files give the same
bytes, and the very bytes of `schemas.values.pack`, so that loading, reading back, auditing and restoring compare
like with like.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from jobs.release.folder import ReleaseFolder
from schemas import keys, tables, values
from schemas.manifest import META_FORMAT, ReleaseMeta

#: Users, books or cards in one hash: one HSET of 64 lists loads ten times faster than 64 SETs.
BUCKET_SIZE = 64

_KINDS = {
    tables.SOURCE_ALS: values.KIND_ALS,
    tables.SOURCE_POPULARITY: values.KIND_SHORT_HISTORY,
}

Hash = Mapping[str, bytes]


@dataclass(frozen=True)
class Stored:
    """Everything of one release: `meta` and `hashes` by key, `lists` the number of packed lists in them."""

    meta: ReleaseMeta
    hashes: dict[str, dict[str, bytes]]
    lists: int


def buckets(entities: int) -> int:
    """Return the number of hashes for so many users or books; at least 1."""
    return max(1, -(-entities // BUCKET_SIZE))


def stored(folder: ReleaseFolder, namespace: str, description: Mapping[str, str]) -> Stored:
    """Return what Redis must hold of a release.

    `description` gives partition, digest, data_as_of and trained_at of the manifest.
    """
    release = folder.release
    lists, popular = pq.read_table(folder.lists), pq.read_table(folder.popularity)
    similar, cards = pq.read_table(folder.similar), pq.read_table(folder.books)
    greatest = int(np.max(cards[tables.BOOK_ID].to_numpy(), initial=0))
    id_bytes = values.id_bytes_for(greatest)
    user_buckets, book_buckets = buckets(lists.num_rows), buckets(cards.num_rows)
    meta = ReleaseMeta(
        format=META_FORMAT,
        release=release,
        partition=description["partition"],
        digest=description["digest"],
        data_as_of=description["data_as_of"],
        trained_at=description["trained_at"],
        id_bytes=id_bytes,
        list_length=_longest(lists),
        users=lists.num_rows,
        books=cards.num_rows,
        user_buckets=user_buckets,
        book_buckets=book_buckets,
        tags=tuple(tag for tag in popular[tables.TAG].to_pylist() if tag != tables.ALL_BOOKS),
    )
    hashes: dict[str, dict[str, bytes]] = {}
    kinds = np.array([_KINDS[source] for source in lists[tables.SOURCE].to_pylist()])
    plain = np.zeros(similar.num_rows, dtype=np.int64)
    users = lists[tables.USER_ID].to_numpy()
    _spread(
        hashes,
        keys.users_prefix(namespace, release),
        user_buckets,
        zip(users.tolist(), packed(lists, kinds, id_bytes), strict=True),
    )
    _spread(
        hashes,
        keys.similar_prefix(namespace, release),
        book_buckets,
        zip(similar[tables.BOOK_ID].to_pylist(), packed(similar, plain, id_bytes), strict=True),
    )
    _spread(
        hashes,
        keys.books_prefix(namespace, release),
        book_buckets,
        zip(cards[tables.BOOK_ID].to_pylist(), card_texts(cards), strict=True),
    )
    common = np.full(popular.num_rows, values.KIND_SHORT_HISTORY)
    hashes[keys.popular(namespace, release)] = dict(
        zip(popular[tables.TAG].to_pylist(), packed(popular, common, id_bytes), strict=True)
    )
    return Stored(meta, hashes, lists.num_rows + similar.num_rows + popular.num_rows)


def packed(table: pa.Table, kinds: NDArray[np.int64], id_bytes: int) -> Iterator[bytes]:
    """Yield each row's list as `schemas.values.pack` packs it."""
    ids_column = table[tables.BOOK_IDS].combine_chunks()
    scores_column = table[tables.SCORES].combine_chunks()
    offsets = ids_column.offsets.to_numpy()
    ids = ids_column.values.to_numpy().astype("<u2" if id_bytes == 2 else "<u4").tobytes()  # noqa: PLR2004
    scores = scores_column.values.to_numpy().astype("<f2").tobytes()
    for row, kind in enumerate(kinds.tolist()):
        start, end = int(offsets[row]), int(offsets[row + 1])
        yield (
            bytes((kind,))
            + ids[start * id_bytes : end * id_bytes]
            + scores[start * values.SCORE_BYTES : end * values.SCORE_BYTES]
        )


def card_texts(cards: pa.Table) -> Iterator[bytes]:
    """Yield each book's card as compact JSON in the order of the columns."""
    for card in cards.to_pylist():
        yield json.dumps(card, ensure_ascii=False, separators=(",", ":")).encode()


def _spread(
    hashes: dict[str, dict[str, bytes]],
    prefix: str,
    count: int,
    entries: Iterable[tuple[int, bytes]],
) -> None:
    # A hash that would be empty gets a field of its own: a missing hash then always means a loss.
    for place in range(count):
        hashes[f"{prefix}{place}"] = {}
    for entity, value in entries:
        key = f"{prefix}{keys.bucket(entity, count)}"
        hashes[key][str(entity)] = value
    for place in range(count):
        hashes[f"{prefix}{place}"] = hashes[f"{prefix}{place}"] or {keys.EMPTY_BUCKET: b""}


def _longest(lists: pa.Table) -> int:
    lengths = np.diff(lists[tables.BOOK_IDS].combine_chunks().offsets.to_numpy())
    return int(lengths.max(initial=0))


def size(stored_release: Stored) -> int:
    """Return the bytes of all values."""
    return sum(len(value) for fields in stored_release.hashes.values() for value in fields.values())


def files(folder: ReleaseFolder) -> tuple[Path, ...]:
    """Return the files that Redis is made from."""
    return (folder.lists, folder.popularity, folder.similar, folder.books)
