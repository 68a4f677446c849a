"""Names in Redis: every key and every hash field, written nowhere else.

In: a namespace, a release id, numbers. Out: key and field names. Guarantees that no key holds braces, so
that a release spreads over all shards, and that everything of one release shares one prefix.

Layout of one release, all of it immutable once verified:

    <ns>:<release>:meta             string, JSON of `schemas.manifest.ReleaseMeta`
    <ns>:<release>:popular          hash, tag -> packed list ("" is all books)
    <ns>:<release>:users:<bucket>   hash, user id -> packed list
    <ns>:<release>:similar:<bucket> hash, book id -> packed list
    <ns>:<release>:books:<bucket>   hash, book id -> JSON of the book's card

Beside the releases stand `<ns>:catalog` (a hash: which release is live, which are loaded, which are
quarantined, which entries of the journal were carried out, whose journal it is; changed by one script on
this one key) and `<ns>:journal` (a hash, a copy of the durable one).
"""

DEFAULT_NAMESPACE = "shelf"

#: The one field of a bucket that holds nobody: every bucket of a complete release exists.
EMPTY_BUCKET = ""

#: Fields of the release registry hash.
GENERATION = "generation"
LIVE = "live"
LIVE_PARTITION = "live_partition"
PREVIOUS = "previous"
CANARY = "canary"
CANARY_SHARE = "canary_share"
ACTIVATED_AT_MS = "activated_at_ms"
RELEASE_FIELD = "release:"
QUARANTINE_FIELD = "quarantine:"
INTENT_FIELD = "intent:"
#: The id of the journal that this store belongs to.
JOURNAL_ID = "journal"

#: The fields an edge replica reads at every pointer refresh, in this order.
POINTER_FIELDS = (GENERATION, LIVE, PREVIOUS, CANARY, CANARY_SHARE, ACTIVATED_AT_MS)


def registry(namespace: str) -> str:
    """Return the key of the release registry, the one key that says what is live."""
    return f"{namespace}:catalog"


def journal(namespace: str) -> str:
    """Return the key of the journal's copy."""
    return f"{namespace}:journal"


def release_field(release: str) -> str:
    """Return the release registry field that describes a loaded release."""
    return f"{RELEASE_FIELD}{release}"


def meta(namespace: str, release: str) -> str:
    """Return the key of the release's description."""
    return f"{namespace}:{release}:meta"


def popular(namespace: str, release: str) -> str:
    """Return the key of the release's popularity lists."""
    return f"{namespace}:{release}:popular"


def users_prefix(namespace: str, release: str) -> str:
    """Return the prefix to which the bucket number of a user is appended."""
    return f"{namespace}:{release}:users:"


def similar_prefix(namespace: str, release: str) -> str:
    """Return the prefix to which the bucket number of a similar-books list is appended."""
    return f"{namespace}:{release}:similar:"


def books_prefix(namespace: str, release: str) -> str:
    """Return the prefix to which the bucket number of a book's card is appended."""
    return f"{namespace}:{release}:books:"


def bucket(entity_id: int, buckets: int) -> int:
    """Return the bucket of a user or book among `buckets` (at least 1)."""
    return entity_id % buckets
