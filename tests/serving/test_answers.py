"""Lists as JSON."""

import json
import struct

import pytest

from schemas import values
from serving import answers


def test_every_score_keeps_four_digits() -> None:
    """Each finite float16 is written as the number it is, rounded to four significant digits."""
    for bits in range(1 << 16):
        (score,) = struct.unpack("<e", struct.pack("<H", bits))
        if score - score == 0:  # neither infinite nor no number
            (item,) = json.loads(f"[{answers.items(values.pack(0, [1], [score], 2), 1, 2)}]")
            assert item["score"] == float(f"{score:.4g}")


@pytest.mark.parametrize("id_bytes", [2, 4])
def test_the_first_books_of_a_list_come_in_order(id_bytes: int) -> None:
    """A limit cuts the list, one beyond its length does not stretch it, wide ids are read whole."""
    book_ids = [65_535, 1, 2] if id_bytes == 2 else [4_000_000_000, 65_536, 7]
    value = values.pack(values.KIND_ALS, book_ids, [0.5, 0.25, 0.125], id_bytes)
    expected = [
        {"book_id": book, "score": score}
        for book, score in zip(book_ids, [0.5, 0.25, 0.125], strict=True)
    ]
    for limit in (1, 2, 3, 100):
        assert json.loads(f"[{answers.items(value, limit, id_bytes)}]") == expected[:limit]
    assert max(answers._BOOKS) <= 65_535
