"""What a release says of itself, in Redis and on disk.

In: counts, times and digests from the steps. Out: `ReleaseMeta`, the small description an edge replica
needs to read a release, and the release id's grammar. Guarantees that what was written is read back whole:
an unknown format, a missing or an extra field is an error, not a default.
"""

import json
import re
from dataclasses import asdict, dataclass, fields

META_FORMAT = 1

PARTITION = re.compile(r"\d{4}-\d{2}-\d{2}")
RELEASE_ID = re.compile(r"(\d{4}-\d{2}-\d{2})-([0-9a-f]{8})")


@dataclass(frozen=True)
class ReleaseMeta:
    """How to read a loaded release. Times are ISO 8601 in UTC; `digest` is that of the manifest's lists."""

    format: int
    release: str
    partition: str
    digest: str
    data_as_of: str
    trained_at: str
    id_bytes: int
    list_length: int
    users: int
    books: int
    user_buckets: int
    book_buckets: int
    tags: tuple[str, ...]

    def to_json(self) -> str:
        """Return the description as JSON with sorted keys: the same description, the same bytes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def parse_meta(text: str | bytes) -> ReleaseMeta:
    """Return the description that `to_json` wrote.

    Raises ValueError when the format is unknown or the fields are not exactly the expected ones.
    """
    raw = json.loads(text)
    expected = {field.name for field in fields(ReleaseMeta)}
    if not isinstance(raw, dict) or raw.get("format") != META_FORMAT or set(raw) != expected:
        raise ValueError(f"not a release description of format {META_FORMAT}: {str(text)[:200]}")
    raw["tags"] = tuple(raw["tags"])
    return ReleaseMeta(**raw)


def partition_of(release: str) -> str:
    """Return the partition (YYYY-MM-DD) in a release id. Raises ValueError when it is none."""
    match = RELEASE_ID.fullmatch(release)
    if match is None:
        raise ValueError(f"{release!r} is no release id (YYYY-MM-DD-xxxxxxxx)")
    return match[1]
