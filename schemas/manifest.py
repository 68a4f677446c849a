"""The description of a release, in Redis and on disk.

In: counts, times and digests from the steps. Out: `ReleaseMeta`, the small description an edge replica needs to read a
release, and the release id's grammar. An unknown format or a missing field is an error, not a default. An unknown field
is ignored: a later version may add one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from schemas.sources import KINDS, KINDS_OF_0_1_0, Source

META_FORMAT = 1

RELEASE_ID = re.compile(r"(\d{4}-\d{2}-\d{2})-([0-9a-f]{8})")


@dataclass(frozen=True)
class ReleaseMeta:
    """How to read a loaded release. Times are ISO 8601 in UTC; `digest` is that of the manifest's lists.

    `sources` names the kinds that its lists may be of. Descriptions of 0.1.0 have none.
    """

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
    sources: Mapping[int, Source] = field(default_factory=lambda: KINDS)

    def to_json(self) -> str:
        """Return the description as JSON with sorted keys: the same description, the same bytes."""
        return _compact(asdict(self))

    def is_written_as(self, text: object) -> bool:
        """Say whether `text` is this description, as this version or an earlier one writes it.

        0.1.0 writes no `sources`, and a version that knows fewer kinds names fewer; those it names must be the same.
        """
        try:
            raw = json.loads(text) if isinstance(text, bytes) else None
        except ValueError:
            return False
        if not isinstance(raw, dict) or text != _compact(raw).encode():
            return False
        ours = json.loads(self.to_json())
        named, known = raw.pop("sources", {}), ours.pop("sources")
        return raw == ours and isinstance(named, dict) and named.items() <= known.items()


def parse_meta(text: str | bytes) -> ReleaseMeta:
    """Return the description that `to_json` wrote, here or in a later version with the same format.

    Raises ValueError when the format is another one, or a field is missing or of another form.
    """
    raw = json.loads(text)
    expected = {known.name for known in fields(ReleaseMeta)} - {"sources"}
    if not isinstance(raw, dict) or raw.get("format") != META_FORMAT or not expected <= set(raw):
        raise ValueError(f"not a release description of format {META_FORMAT}: {str(text)[:200]}")
    given = {name: raw[name] for name in expected}
    return ReleaseMeta(**{**given, "tags": tuple(raw["tags"])}, sources=_sources(raw))


def _compact(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _sources(raw: Mapping[str, Any]) -> Mapping[int, Source]:
    if "sources" not in raw:
        return KINDS_OF_0_1_0
    try:
        return {
            int(kind): Source(str(named["source"]), named.get("reason"))
            for kind, named in raw["sources"].items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a release description: sources {raw['sources']!r}") from error


def partition_of(release: str) -> str:
    """Return the partition (YYYY-MM-DD) in a release id. Raises ValueError when it is none."""
    match = RELEASE_ID.fullmatch(release)
    if match is None:
        raise ValueError(f"{release!r} is no release id (YYYY-MM-DD-xxxxxxxx)")
    return match[1]
