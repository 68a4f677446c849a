"""The vocabulary of answers: where a list comes from (`source`) and why it is not a full personal one (`reason`).

In: nothing. Out: constants, and the source and reason of each kind of stored list. Jobs write the kinds into a
release's description (`schemas.manifest`), so that an edge replica can name a kind that a later version adds.
"""

from dataclasses import dataclass

from schemas.values import KIND_ALS, KIND_EASE, KIND_SHORT_HISTORY, KIND_TWO_STAGE

ALS = "als"
EASE = "ease"
TWO_STAGE = "two_stage"
POPULARITY = "popularity"

UNKNOWN_USER = "unknown_user"
SHORT_HISTORY = "short_history"
CATALOGUE_EXHAUSTED = "catalogue_exhausted"
STORE_UNAVAILABLE = "store_unavailable"
NO_RELEASE = "no_release"

#: All reasons, as the API's description lists them.
REASONS = (UNKNOWN_USER, SHORT_HISTORY, CATALOGUE_EXHAUSTED, STORE_UNAVAILABLE, NO_RELEASE)
#: Reasons that say that something is broken; such answers are not cached.
DEGRADED = frozenset({STORE_UNAVAILABLE, NO_RELEASE})


@dataclass(frozen=True)
class Source:
    """What an answer says of a kind of list; a personal one has no reason."""

    source: str
    reason: str | None = None


#: The kinds that this version writes: the first byte of a packed list (`schemas.values`).
KINDS = {
    KIND_ALS: Source(ALS),
    KIND_SHORT_HISTORY: Source(POPULARITY, SHORT_HISTORY),
    KIND_EASE: Source(EASE),
    KIND_TWO_STAGE: Source(TWO_STAGE),
}
#: The kinds of descriptions that name none: 0.1.0 wrote them.
KINDS_OF_0_1_0 = {kind: KINDS[kind] for kind in (KIND_ALS, KIND_SHORT_HISTORY, KIND_EASE)}
#: The kind by the SOURCE column of the lists.
KIND_OF = {kind.source: number for number, kind in KINDS.items()}
#: The engines of personal lists.
ENGINES = tuple(kind.source for kind in KINDS.values() if kind.reason is None)
