"""The engines: what a model has to give, and the two that give it.

In: matrices of confidences (`jobs.model.confidence`). Out: vectors. Guarantees that whatever is made of an engine
(lists, similar books, explanations, verdicts) is made of any: a user's score of a book is the dot product of their
vectors, and a sum of what each read book adds.
"""

from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jobs.model import als, ease
from jobs.model.als import UserFactors
from jobs.model.settings import ModelSettings
from schemas.sources import ALS, EASE, TWO_STAGE


class Engine(Protocol):
    """What `jobs.model.als` and `jobs.model.ease` both have."""

    #: Whether users' vectors are worth a place in a file; if not, they are made again from their ratings.
    KEEPS_USERS: bool

    def books(
        self,
        training: sp.csr_matrix,
        settings: ModelSettings,
        threads: int | None = None,
        *,
        show_progress: bool = True,
    ) -> NDArray[np.float32]:
        """Return the vectors (books, width) fitted on (users, books) confidences; a book without data has zeros.

        The same bytes whatever the number of threads. Raises WrongUsage when there are too many books for the engine.
        """

    def user_factors(
        self,
        profiles: sp.csr_matrix,
        books: NDArray[np.float32],
        settings: ModelSettings,
        threads: int | None = None,
    ) -> UserFactors:
        """Return the vectors (users, width) of users from their own confidences, whether the fit saw them or not."""

    def similarity(self, books: NDArray[np.float32]) -> tuple[UserFactors, NDArray[np.float32]]:
        """Return two sets of vectors, (books, width) each, whose products are similarities from -1 to 1."""

    def contributions(
        self,
        books: NDArray[np.float32],
        read: NDArray[np.int64],
        confidences: NDArray[np.float32],
        wanted: NDArray[np.int64],
        settings: ModelSettings,
    ) -> NDArray[np.float64]:
        """Return what each book at `read` with its confidence adds to each score at `wanted`, (wanted, read)."""


#: ALS is the first generator of the two stages: vectors and similar books come from it.
ENGINES: dict[str, Engine] = {ALS: als, EASE: ease, TWO_STAGE: als}


def of(settings: ModelSettings) -> Engine:
    """Return the engine that the settings are for."""
    return ENGINES[settings.engine]
