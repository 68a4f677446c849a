"""A digest that a JSON document carries of itself, so that an altered byte is found when it is read.

In: a mapping. Out: the mapping with its digest, or whether the digest still fits. Guarantees nothing against
somebody who also computes the digest again: it is there for disks, not for enemies.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

CHECK = "check"


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return `content` with its digest."""
    return {**content, CHECK: digest(content)}


def opened(text: bytes) -> dict[str, Any] | None:
    """Return the content without its digest, or None when it was altered."""
    try:
        content = json.loads(text)
        intact = content.pop(CHECK) == digest(content)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return content if intact else None


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of `content`, whatever the order of its fields."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
