"""Brings Airflow's database up to date and makes the pool; run by the environment that has Airflow.

In: Airflow's settings. Out: a database of this version with the pool `nightshelf` of one slot. Guarantees that a
second run changes nothing.
"""

from airflow.models.pool import Pool
from airflow.utils.db import initdb


def main() -> None:
    """Create or upgrade the tables, then the pool."""
    initdb()
    Pool.create_or_update_pool(
        name="nightshelf",
        slots=1,
        description="Work that takes the machine alone: training, scoring, loading.",
        include_deferred=False,
    )


if __name__ == "__main__":
    main()
