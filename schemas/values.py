"""Stored values: a list as packed numbers.

In: book ids and scores. Out: bytes, and back. Guarantees that packing loses nothing of what the release's
parquet files hold: their scores are numbers that a float16 holds exactly.

    byte 0       kind (KIND_ALS, KIND_SHORT_HISTORY, KIND_EASE, KIND_TWO_STAGE)
    then         n book ids, little-endian unsigned, `id_bytes` (2 or 4) each
    then         n scores, little-endian float16

Ids and scores stand apart so that the first `limit` of each are read without touching the rest.
The choice over JSON text is measured in tests/benchmarks.
"""

import struct
from functools import lru_cache

KIND_ALS = 0
KIND_SHORT_HISTORY = 1
KIND_EASE = 2
KIND_TWO_STAGE = 3

SCORE_BYTES = 2

GREATEST_SHORT = 0xFFFF
_ID_CODES = {2: "H", 4: "I"}


def id_bytes_for(greatest_id: int) -> int:
    """Return the width in bytes (2 or 4) in which every id up to `greatest_id` fits."""
    return 2 if greatest_id <= GREATEST_SHORT else 4


@lru_cache(maxsize=512)
def _ids(count: int, id_bytes: int) -> struct.Struct:
    return struct.Struct(f"<{count}{_ID_CODES[id_bytes]}")


@lru_cache(maxsize=512)
def _scores(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}e")


def pack(kind: int, book_ids: list[int], scores: list[float], id_bytes: int) -> bytes:
    """Return a list as bytes; `book_ids` and `scores` have the same length.

    Raises struct.error when an id does not fit `id_bytes` or a score does not fit a float16.
    """
    count = len(book_ids)
    return bytes((kind,)) + _ids(count, id_bytes).pack(*book_ids) + _scores(count).pack(*scores)


def length(value: bytes, id_bytes: int) -> int:
    """Return how many books a packed list holds.

    Raises ValueError when the number of bytes is not that of any list.
    """
    count, rest = divmod(len(value) - 1, id_bytes + SCORE_BYTES)
    if rest or count < 0:
        raise ValueError(f"{len(value)} bytes are no packed list with ids of {id_bytes} bytes")
    return count


def unpack_bits(value: bytes, limit: int, id_bytes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return (book ids, the bits of the scores) of the first `limit` books, fewer if the list is shorter.

    Raises ValueError as `length` does.
    """
    count = length(value, id_bytes)
    wanted = min(limit, count)
    book_ids = _ids(wanted, id_bytes).unpack_from(value, 1)
    return book_ids, _ids(wanted, SCORE_BYTES).unpack_from(value, 1 + count * id_bytes)


def score_of(bits: int) -> float:
    """Return the float16 with these 16 bits."""
    score: float = _scores(1).unpack(bits.to_bytes(SCORE_BYTES, "little"))[0]
    return score


def unpack(
    value: bytes, limit: int, id_bytes: int
) -> tuple[int, tuple[int, ...], tuple[float, ...]]:
    """Return (kind, book ids, scores) of the first `limit` books, fewer if the list is shorter.

    Raises ValueError as `length` does.
    """
    count = length(value, id_bytes)
    wanted = min(limit, count)
    book_ids = _ids(wanted, id_bytes).unpack_from(value, 1)
    scores = _scores(wanted).unpack_from(value, 1 + count * id_bytes)
    return value[0], book_ids, scores
