"""ALS as the package `implicit` gives it, with nothing of this project around it: the floor of the fit."""

from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from jobs.model.settings import ModelSettings


def bare_als(settings: ModelSettings) -> AlternatingLeastSquares:
    """Return a model that is not fitted, on two threads; fit it inside `threadpool_limits(1, "blas")`."""
    with threadpool_limits(1, "blas"):  # implicit warns of a threaded BLAS when it is made
        return AlternatingLeastSquares(
            factors=settings.factors,
            regularization=settings.regularization,
            alpha=1.0,
            iterations=settings.iterations,
            num_threads=2,
            random_state=settings.seed,
        )
