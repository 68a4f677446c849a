"""Names in Redis."""

from redis.crc import key_slot

from schemas import keys

RELEASE = "2026-01-01-0123abcd"


def test_the_names_are_those_of_the_layout() -> None:
    """The names that the module's table promises, letter for letter."""
    assert keys.registry("shelf") == "shelf:catalog"
    assert keys.journal("shelf") == "shelf:journal"
    assert keys.meta("shelf", RELEASE) == "shelf:2026-01-01-0123abcd:meta"
    assert keys.popular("shelf", RELEASE) == "shelf:2026-01-01-0123abcd:popular"
    assert keys.users_prefix("shelf", RELEASE) == "shelf:2026-01-01-0123abcd:users:"
    assert keys.similar_prefix("shelf", RELEASE) == "shelf:2026-01-01-0123abcd:similar:"
    assert keys.books_prefix("shelf", RELEASE) == "shelf:2026-01-01-0123abcd:books:"
    assert keys.release_field(RELEASE) == "release:2026-01-01-0123abcd"


def test_everything_of_a_release_shares_its_prefix() -> None:
    """And nothing else does."""
    prefix = f"shelf:{RELEASE}:"
    makers = (keys.meta, keys.popular, keys.users_prefix, keys.similar_prefix, keys.books_prefix)
    assert all(make("shelf", RELEASE).startswith(prefix) for make in makers)
    assert not keys.registry("shelf").startswith(prefix)


def test_a_release_spreads_over_all_shards() -> None:
    """Its 835 user buckets fall into each third of the slots, a quarter of them at least."""
    prefix = keys.users_prefix("shelf", RELEASE)
    thirds = [key_slot(f"{prefix}{bucket}".encode()) * 3 // 16_384 for bucket in range(835)]
    assert all(thirds.count(third) > 835 / 4 for third in range(3))


def test_the_bucket_is_the_remainder() -> None:
    """One bucket holds everybody; of 835 buckets user 53,424 is in number 819."""
    assert keys.bucket(12_345, 1) == 0
    assert keys.bucket(53_424, 835) == 819
