"""A release's parquet files as the hashes that stand in Redis.

In: a release folder and its manifest. Out: every key with its fields and values. Guarantees that the very bytes that
were parsed have the digests of the manifest, that the same files give the same values, that these are what
`schemas.values.pack` packs, and that nothing which does not fit is cut: it is refused.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from jobs.release.manifest import changed
from jobs.runtime import list_column
from jobs.runtime.artifacts import ReleaseFolder, require
from jobs.runtime.errors import BrokenInput
from schemas import keys, tables, values
from schemas.manifest import META_FORMAT, ReleaseMeta
from schemas.sources import KIND_OF

#: Users, books or cards in one hash; tests/benchmarks/test_layout.py compares 32, 64 and 128.
BUCKET_SIZE = 64

_ID_TYPES = {2: "<u2", 4: "<u4"}


@dataclass(frozen=True)
class Stored:
    """Everything of one release: its description, and every hash by key.

    `lists` counts packed lists, `values` also the books' cards.
    """

    meta_key: str
    meta: ReleaseMeta
    hashes: Mapping[str, Mapping[bytes, bytes]]
    lists: int
    values: int

    @property
    def value_bytes(self) -> int:
        """The bytes of all values."""
        return sum(len(value) for fields in self.hashes.values() for value in fields.values())

    @property
    def shape(self) -> tuple[int, int]:
        """The number of hashes with users, and of those with books."""
        return self.meta.user_buckets, self.meta.book_buckets


@dataclass(frozen=True)
class _Tables:
    lists: pa.Table
    popular: pa.Table
    similar: pa.Table
    cards: pa.Table


def stored(folder: ReleaseFolder, namespace: str, manifest: Mapping[str, Any]) -> Stored:
    """Return what Redis must hold of a release.

    Raises BrokenInput when a file is missing, is not what the manifest says, or holds what cannot be stored.
    """
    found = _read(folder, manifest["files"])
    try:
        return _stored(folder.release, namespace, manifest, found)
    except (ValueError, KeyError) as error:
        raise BrokenInput(
            f"the lists cannot be stored: {error}",
            str(folder.root),
            "run `nightshelf recommend` and `nightshelf validate` again",
        ) from error


def buckets(entities: int) -> int:
    """Return the number of hashes for so many users or books; at least 1."""
    return max(1, -(-entities // BUCKET_SIZE))


def files(folder: ReleaseFolder) -> tuple[Path, ...]:
    """Return the files that Redis is made from."""
    return (folder.lists, folder.popularity, folder.similar, folder.books)


def _read(folder: ReleaseFolder, digests: Mapping[str, str]) -> _Tables:
    """Read each file once, so that what is parsed is what was digested."""
    found = []
    for path in files(folder):
        content = require(path, "recommend").read_bytes()
        if hashlib.sha256(content).hexdigest() != digests[path.name]:
            raise changed(folder, [path.name])
        # pq.read_table would import pandas for it: 0.5 s.
        found.append(pq.ParquetFile(pa.BufferReader(content)).read())
    return _Tables(*found)


def _stored(release: str, namespace: str, manifest: Mapping[str, Any], found: _Tables) -> Stored:
    lists, popular, similar, cards = found.lists, found.popular, found.similar, found.cards
    id_bytes = values.id_bytes_for(_greatest_book(found))
    user_buckets, book_buckets = buckets(lists.num_rows), buckets(cards.num_rows)
    kinds = [KIND_OF[source] for source in lists[tables.SOURCE].to_pylist()]
    plain = [values.KIND_ALS] * similar.num_rows
    common = [values.KIND_SHORT_HISTORY] * popular.num_rows
    tags = popular[tables.TAG].to_pylist()
    hashes = {
        **_spread(
            keys.users_prefix(namespace, release),
            user_buckets,
            lists[tables.USER_ID],
            packed(lists, kinds, id_bytes),
        ),
        **_spread(
            keys.similar_prefix(namespace, release),
            book_buckets,
            similar[tables.BOOK_ID],
            packed(similar, plain, id_bytes),
        ),
        **_spread(
            keys.books_prefix(namespace, release),
            book_buckets,
            cards[tables.BOOK_ID],
            card_texts(cards),
        ),
        keys.popular(namespace, release): {
            tag.encode(): value
            for tag, value in zip(tags, packed(popular, common, id_bytes), strict=True)
        },
    }
    packed_lists = lists.num_rows + similar.num_rows + popular.num_rows
    meta = ReleaseMeta(
        format=META_FORMAT,
        release=release,
        partition=manifest["partition"],
        digest=manifest["digest"],
        data_as_of=manifest["data_as_of"],
        trained_at=manifest["trained_at"],
        id_bytes=id_bytes,
        list_length=_longest(lists),
        users=lists.num_rows,
        books=cards.num_rows,
        user_buckets=user_buckets,
        book_buckets=book_buckets,
        tags=tuple(tag for tag in tags if tag != tables.ALL_BOOKS),
    )
    key = keys.meta(namespace, release)
    return Stored(key, meta, hashes, packed_lists, packed_lists + cards.num_rows)


def packed(table: pa.Table, kinds: list[int], id_bytes: int) -> Iterator[bytes]:
    """Yield each row's list as `schemas.values.pack` packs it. Raises ValueError for what does not fit."""
    lengths, ids = _flat(table[tables.BOOK_IDS])
    score_lengths, scores = _flat(table[tables.SCORES])
    if not np.array_equal(lengths, score_lengths):
        raise ValueError("a list has not as many scores as books")
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is found below
        short_ids, halves = ids.astype(_ID_TYPES[id_bytes]), scores.astype("<f2")
    if not np.array_equal(short_ids, ids):
        raise ValueError(f"a book id does not fit {id_bytes} bytes")
    if not np.array_equal(halves, scores):
        raise ValueError("a score is no number that a float16 holds exactly")
    id_text, score_text = short_ids.tobytes(), halves.tobytes()
    ends = np.cumsum(lengths)
    rows = zip(kinds, (ends - lengths).tolist(), ends.tolist(), strict=True)
    for kind, start, end in rows:
        yield (
            bytes((kind,))
            + id_text[start * id_bytes : end * id_bytes]
            + score_text[start * values.SCORE_BYTES : end * values.SCORE_BYTES]
        )


def card_texts(cards: pa.Table) -> Iterator[bytes]:
    """Yield each book's card as compact JSON in the order of the columns."""
    for card in cards.to_pylist():
        yield json.dumps(card, ensure_ascii=False, separators=(",", ":")).encode()


def _flat(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the length of each row's list, and all lists end to end. Raises ValueError for nulls."""
    if column.null_count or pc.list_flatten(column).null_count:
        raise ValueError("a list or a number in it is null")
    values, lengths = list_column.flat(column)
    return lengths, values


def _spread(
    prefix: str, count: int, ids: pa.ChunkedArray, texts: Iterator[bytes]
) -> dict[str, dict[bytes, bytes]]:
    found: list[dict[bytes, bytes]] = [{} for _ in range(count)]
    for entity, value in zip(ids.to_pylist(), texts, strict=True):
        found[keys.bucket(entity, count)][b"%d" % entity] = value
    # A hash that would be empty gets a field of its own: a missing hash then always means a loss.
    nobody = {keys.EMPTY_BUCKET.encode(): b""}
    return {f"{prefix}{place}": fields or nobody for place, fields in enumerate(found)}


def _greatest_book(found: _Tables) -> int:
    columns = [_flat(t[tables.BOOK_IDS])[1] for t in (found.lists, found.popular, found.similar)]
    columns += [t[tables.BOOK_ID].to_numpy() for t in (found.similar, found.cards)]
    return max(int(np.max(column, initial=0)) for column in columns)


def _longest(lists: pa.Table) -> int:
    return int(_flat(lists[tables.BOOK_IDS])[0].max(initial=0))
