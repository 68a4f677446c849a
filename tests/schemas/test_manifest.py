"""The description of a release in Redis, and the grammar of release ids."""

import json
from dataclasses import replace

import pytest

from schemas.manifest import META_FORMAT, RELEASE_ID, ReleaseMeta, parse_meta, partition_of
from schemas.sources import Source

META = ReleaseMeta(
    format=META_FORMAT,
    release="2026-01-01-0123abcd",
    partition="2026-01-01",
    digest="d" * 64,
    data_as_of="2026-01-01T12:00:00+00:00",
    trained_at="2026-01-01T13:00:00+00:00",
    id_bytes=2,
    list_length=100,
    users=53_424,
    books=10_000,
    user_buckets=835,
    book_buckets=157,
    tags=("fantasy", "history"),
)


def test_a_description_is_read_back_whole() -> None:
    """From text and from bytes, tags in their order."""
    assert parse_meta(META.to_json()) == META
    assert parse_meta(META.to_json().encode()) == META


def test_the_same_description_has_the_same_bytes() -> None:
    """Keys are sorted and nothing is spaced."""
    text = META.to_json()
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert ": " not in text


@pytest.mark.parametrize(
    "text",
    [
        replace(META, format=META_FORMAT + 1).to_json(),
        json.dumps({k: v for k, v in json.loads(META.to_json()).items() if k != "users"}),
        json.dumps({**json.loads(META.to_json()), "sources": ["als"]}),
        "[]",
    ],
    ids=["another format", "a field missing", "sources of another form", "no object"],
)
def test_any_other_description_is_an_error(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="not a release description"):
        parse_meta(text)


def test_a_later_version_may_add_fields_and_kinds() -> None:
    """What is not known is ignored; a kind of list that is not known here has its names in the description."""
    later = json.loads(META.to_json())
    later["sources"]["9"] = {"source": "two-stage", "reason": None, "more": 1}
    found = parse_meta(json.dumps({**later, "more": 1}))
    assert replace(found, sources=META.sources) == META
    assert found.sources[9] == Source("two-stage")


def test_a_description_of_0_1_0_is_the_same_release() -> None:
    """It names no sources; its kinds are als, short_history and ease. Another digest is another release."""
    old = {k: v for k, v in json.loads(META.to_json()).items() if k != "sources"}
    found = parse_meta(json.dumps(old))
    assert found.sources == {
        0: Source("als"),
        1: Source("popularity", "short_history"),
        2: Source("ease"),
    }
    text = json.dumps(old, sort_keys=True, separators=(",", ":"))
    assert META.is_written_as(text.encode())
    # 0.2.0 names the three kinds that it knows.
    fewer = json.loads(META.to_json())
    fewer["sources"] = {kind: fewer["sources"][kind] for kind in ("0", "1", "2")}
    assert META.is_written_as(json.dumps(fewer, sort_keys=True, separators=(",", ":")).encode())
    fewer["sources"]["9"] = {"source": "later", "reason": None}
    assert not META.is_written_as(json.dumps(fewer, sort_keys=True, separators=(",", ":")).encode())
    assert not META.is_written_as(json.dumps(old).encode())
    assert META.is_written_as(META.to_json().encode())
    assert not META.is_written_as(text.replace("d" * 64, "e" * 64).encode())
    assert not META.is_written_as(META.to_json().replace("als", "ols").encode())
    assert not META.is_written_as(b"\xff")
    assert not META.is_written_as(None)


def test_the_partition_stands_in_the_id() -> None:
    """A day, a dash, eight hexadecimal digits; anything else is no release id."""
    assert partition_of("2026-01-01-0123abcd") == "2026-01-01"
    for other in (
        "2026-01-01",
        "2026-01-01-0123ABCD",
        "2026-01-01-0123abcde",
        " 2026-01-01-0123abcd",
    ):
        assert RELEASE_ID.fullmatch(other) is None
        with pytest.raises(ValueError, match="no release id"):
            partition_of(other)
