"""Parquet to stored values: byte for byte what schemas.values packs."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.release import manifest
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import BrokenInput
from jobs.runtime.table_files import write_table
from jobs.store import encoding
from jobs.store.encoding import Stored
from schemas import keys, sources, tables, values
from tests.harness.releases import list_of, scores_of, write_release

halves = st.floats(width=16, allow_nan=False, allow_infinity=False)
entries = st.lists(st.tuples(st.integers(0, 65_535), halves), max_size=120)


def _lists(rows: list[list[tuple[int, float]]]) -> pa.Table:
    return pa.table(
        {
            tables.BOOK_IDS: pa.array([[i for i, _ in row] for row in rows], pa.list_(pa.int32())),
            tables.SCORES: pa.array([[s for _, s in row] for row in rows], pa.list_(pa.float32())),
        }
    )


@given(st.lists(entries, max_size=6), st.sampled_from([2, 4]))
def test_bulk_packing_equals_packing_one_list(
    rows: list[list[tuple[int, float]]], id_bytes: int
) -> None:
    """For any lists the numpy bulk packing gives the bytes of schemas.values.pack."""
    kinds = [place % 2 for place in range(len(rows))]
    expected = [
        values.pack(kind, [i for i, _ in row], [s for _, s in row], id_bytes)
        for kind, row in zip(kinds, rows, strict=True)
    ]
    assert list(encoding.packed(_lists(rows), kinds, id_bytes)) == expected


def test_a_slice_of_a_table_packs_as_the_slice() -> None:
    """Offsets of a sliced or chunked column are its own, not those of the whole."""
    rows = [[(1, 1.0)], [(2, 0.5), (3, 0.25)], [], [(4, 2.0)]]
    table = pa.concat_tables([_lists(rows[:2]), _lists(rows[2:])]).slice(1, 3)
    expected = [
        values.pack(0, [2, 3], [0.5, 0.25], 2),
        values.pack(0, [], [], 2),
        values.pack(0, [4], [2.0], 2),
    ]
    assert list(encoding.packed(table, [0, 0, 0], 2)) == expected


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([(65_536, 1.0)], "id does not fit"),
        ([(-1, 1.0)], "id does not fit"),
        ([(1, 0.1)], "no number that a float16"),
        ([(1, 1e6)], "no number that a float16"),
        ([(1, float("nan"))], "no number that a float16"),
    ],
)
def test_what_does_not_fit_is_refused(row: list[tuple[int, float]], problem: str) -> None:
    """Nothing is rounded or wrapped around on its way into Redis."""
    with pytest.raises(ValueError, match=problem):
        list(encoding.packed(_lists([row]), [0], 2))


def test_nulls_and_lists_of_different_length_are_refused() -> None:
    """A missing list, a missing number, a missing score."""
    ids, scores = pa.list_(pa.int32()), pa.list_(pa.float32())
    for book_ids, its_scores in (([None], [[]]), ([[None]], [[1.0]]), ([[1, 2]], [[1.0]])):
        table = pa.table(
            {
                tables.BOOK_IDS: pa.array(book_ids, ids),
                tables.SCORES: pa.array(its_scores, scores),
            }
        )
        with pytest.raises(ValueError, match=r"null|as many scores"):
            list(encoding.packed(table, [0], 2))


@pytest.fixture
def folder(tmp_path: Path) -> ReleaseFolder:
    """A release of 150 users: three buckets."""
    return write_release(tmp_path, "2026-01-01", users=150, short_history=(7,))


def test_the_kind_tells_the_engine(tmp_path: Path) -> None:
    """Lists of EASE are stored as such; one that is not personal stays what it is."""
    folder = write_release(tmp_path, "2026-01-01", short_history=(7,), engine="ease")
    what = _stored(folder)
    prefix = keys.users_prefix("shelf", folder.release)
    kinds = {user: what.hashes[f"{prefix}0"][str(user).encode()][0] for user in (6, 7)}
    assert kinds == {6: values.KIND_EASE, 7: values.KIND_SHORT_HISTORY}


def _stored(folder: ReleaseFolder) -> Stored:
    return encoding.stored(folder, "shelf", manifest.write(folder, "x"))


def test_every_user_stands_in_the_bucket_of_its_id(folder: ReleaseFolder) -> None:
    """What an edge replica would look up is the list that the release has, with its kind."""
    what = _stored(folder)
    assert (what.meta.users, what.meta.user_buckets, what.meta.id_bytes) == (150, 3, 2)
    prefix = keys.users_prefix("shelf", folder.release)
    for user in range(1, 151):
        value = what.hashes[f"{prefix}{user % 3}"][str(user).encode()]
        kind, book_ids, scores = values.unpack(value, 100, 2)
        assert kind == (values.KIND_SHORT_HISTORY if user == 7 else values.KIND_ALS)
        assert list(book_ids) == list_of(user)
        assert list(scores) == scores_of()


def test_popular_similar_and_cards_are_there(folder: ReleaseFolder) -> None:
    """Tags, a similar list for each book, and a card as compact JSON with the columns of the table."""
    what = _stored(folder)
    popular = what.hashes[keys.popular("shelf", folder.release)]
    assert set(popular) == {b"", b"fantasy", b"history"}
    assert what.meta.tags == ("fantasy", "history")
    similar = what.hashes[f"{keys.similar_prefix('shelf', folder.release)}0"]
    assert values.unpack(similar[b"5"], 100, 2)[1] == tuple(list_of(5))
    card = what.hashes[f"{keys.books_prefix('shelf', folder.release)}0"][b"5"]
    assert b" " not in card.replace(b"Book 5", b"").replace(b"Author 5", b"")
    assert json.loads(card) == {
        "book_id": 5,
        "goodreads_book_id": 1005,
        "title": "Book 5",
        "authors": ["Author 5"],
        "year": 2005,
        "language": "eng",
        "genres": ["fantasy"],
        "to_read_count": 5,
    }
    assert (what.lists, what.values) == (150 + 40 + 3, 150 + 40 + 3 + 40)


def test_a_bucket_that_holds_nobody_exists(tmp_path: Path) -> None:
    """Users 64, 128 ... all fall into one of two buckets: the other one has a field that is nobody's."""
    folder = write_release(tmp_path, "2026-01-01", users=65)
    lists = pa.Table.from_pylist(
        [
            {
                tables.USER_ID: 2 * user,
                tables.SOURCE: sources.ALS,
                tables.BOOK_IDS: [1],
                tables.SCORES: [1.0],
            }
            for user in range(1, 66)
        ],
        tables.LISTS,
    )
    write_table(folder.lists, lists, tables.LISTS)
    what = _stored(folder)
    prefix = keys.users_prefix("shelf", folder.release)
    assert what.hashes[f"{prefix}1"] == {b"": b""}
    assert len(what.hashes[f"{prefix}0"]) == 65


def test_large_ids_take_four_bytes(tmp_path: Path) -> None:
    """A catalogue whose ids pass 65,535 is stored with wider ids, all lists of it."""
    folder = write_release(tmp_path, "2026-01-01")
    lists = pa.Table.from_pylist(
        [
            {
                tables.USER_ID: 1,
                tables.SOURCE: sources.ALS,
                tables.BOOK_IDS: [70_000],
                tables.SCORES: [1.0],
            }
        ],
        tables.LISTS,
    )
    write_table(folder.lists, lists, tables.LISTS)
    what = _stored(folder)
    assert what.meta.id_bytes == 4
    value = what.hashes[f"{keys.users_prefix('shelf', folder.release)}0"][b"1"]
    assert values.unpack(value, 10, 4) == (values.KIND_ALS, (70_000,), (1.0,))


def test_the_same_files_give_the_same_values(folder: ReleaseFolder) -> None:
    """Twice the same, in the same order."""
    first, second = _stored(folder), _stored(folder)
    assert first == second
    assert list(first.hashes) == list(second.hashes)


def test_files_that_are_not_the_manifests_are_refused(folder: ReleaseFolder) -> None:
    """What is parsed is what was digested: a file that changed after the manifest was read is found."""
    described = manifest.write(folder, "x")
    lists = pa.Table.from_pylist([], tables.LISTS)
    write_table(folder.lists, lists, tables.LISTS)
    with pytest.raises(BrokenInput, match=r"lists\.parquet changed"):
        encoding.stored(folder, "shelf", described)
    folder.lists.unlink()
    with pytest.raises(BrokenInput, match=r"lists\.parquet is missing"):
        encoding.stored(folder, "shelf", described)


def test_an_unknown_source_is_refused(folder: ReleaseFolder) -> None:
    """A list from a source that no reader knows is not stored."""
    row = {tables.USER_ID: 1, tables.SOURCE: "dice", tables.BOOK_IDS: [1], tables.SCORES: [1.0]}
    write_table(folder.lists, pa.Table.from_pylist([row], tables.LISTS), tables.LISTS)
    with pytest.raises(BrokenInput, match="dice"):
        _stored(folder)


def test_buckets_hold_64() -> None:
    """One bucket up to 64 entities, two from 65; never none."""
    assert [encoding.buckets(n) for n in (0, 1, 64, 65, 53_424)] == [1, 1, 1, 2, 835]


def test_scores_are_not_rounded_on_the_way() -> None:
    """A float32 that a float16 holds comes back as itself."""
    score = float(np.float16(0.1))
    (value,) = encoding.packed(_lists([[(1, score)]]), [0], 2)
    assert values.unpack(value, 1, 2)[2] == (score,)
