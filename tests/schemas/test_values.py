"""Packed lists: the bytes of the format, and back."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import values

halves = st.floats(width=16, allow_nan=False)


def test_the_bytes_are_those_of_the_format() -> None:
    """Kind, ids little-endian, then scores as float16, worked out by hand (1.0 is 0x3c00, 0.5 is 0x3800)."""
    packed = values.pack(values.KIND_SHORT_HISTORY, [1, 258], [1.0, 0.5], 2)
    assert packed == bytes.fromhex("0101000201003c0038")
    wide = values.pack(values.KIND_ALS, [70_000], [1.0], 4)
    assert wide == bytes.fromhex("0070110100003c")


@given(
    st.sampled_from([2, 4]),
    st.lists(st.tuples(st.integers(0, 65_535), halves), max_size=120),
    st.integers(0, 130),
)
def test_what_is_packed_is_unpacked(
    id_bytes: int, items: list[tuple[int, float]], limit: int
) -> None:
    """The first `limit` ids and scores come back exactly, fewer if the list is shorter."""
    ids, scores = [i for i, _ in items], [s for _, s in items]
    value = values.pack(0, ids, scores, id_bytes)
    assert values.length(value, id_bytes) == len(items)
    assert values.unpack(value, limit, id_bytes) == (0, tuple(ids[:limit]), tuple(scores[:limit]))


def test_a_hundred_books_take_401_bytes() -> None:
    """One byte of kind, two a book id, two a score."""
    assert len(values.pack(0, list(range(100)), [0.0] * 100, 2)) == 401


@pytest.mark.parametrize("value", [b"", b"\0\1", b"\0" * 4, b"\0" * 6])
def test_a_cut_value_is_refused(value: bytes) -> None:
    """A number of bytes that no list has is an error, not a shorter list."""
    with pytest.raises(ValueError, match="no packed list"):
        values.length(value, 2)
    with pytest.raises(ValueError, match="no packed list"):
        values.unpack(value, 10, 2)


def test_what_does_not_fit_is_refused() -> None:
    """An id over two bytes, a score over float16's range."""
    with pytest.raises(struct.error):
        values.pack(0, [65_536], [0.0], 2)
    with pytest.raises((struct.error, OverflowError)):
        values.pack(0, [1], [1e6], 2)


def test_ids_up_to_65535_take_two_bytes() -> None:
    """From 65,536 on four."""
    assert [values.id_bytes_for(greatest) for greatest in (0, 65_535, 65_536)] == [2, 2, 4]
