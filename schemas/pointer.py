"""The live pointer as an edge replica reads it: the head of the release registry hash.

In: the values of `schemas.keys.POINTER_FIELDS`. Out: a `Pointer`, or None where no release is live.
Guarantees that a user falls to the canary by a hash of the id alone, the same on every replica and for
every release.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

#: Canary shares are counted in ten-thousandths.
SHARE_STEPS = 10_000


@dataclass(frozen=True)
class Pointer:
    """Which releases are served; `canary_share` is between 0 and 1, `activated_at_ms` a Unix time."""

    generation: int
    live: str
    previous: str | None
    canary: str | None
    canary_share: float
    activated_at_ms: int

    def release_for(self, user_id: int) -> str:
        """Return the release from which this user is answered."""
        if self.canary is not None and in_canary(user_id, self.canary_share):
            return self.canary
        return self.live


def in_canary(user_id: int, share: float) -> bool:
    """Say whether a user is among the `share` (0 to 1) of users that a canary gets.

    A greater share keeps the users of a smaller one.
    """
    return zlib.crc32(b"canary:%d" % user_id) % SHARE_STEPS < share * SHARE_STEPS


def parse_pointer(values: Sequence[str | bytes | None]) -> Pointer | None:
    """Return the pointer in the values of POINTER_FIELDS, or None when nothing is live.

    Raises ValueError when a generation or a number is not one.
    """
    generation, live, previous, canary, share, activated_at_ms = (
        value.decode() if isinstance(value, bytes) else value for value in values
    )
    if not live:
        return None
    return Pointer(
        generation=int(generation or ""),
        live=live,
        previous=previous or None,
        canary=canary or None,
        canary_share=float(share or 0),
        activated_at_ms=int(activated_at_ms or ""),
    )
