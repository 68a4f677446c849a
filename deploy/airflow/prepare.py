"""Brings Airflow's database up to date, makes the pool and reads the DAGs; run by the environment that has Airflow.

In: Airflow's settings. Out: a database of this version with the pool `nightshelf` of one slot and the DAGs as they
are. Guarantees that a second run changes nothing.
"""

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models.pool import Pool
from airflow.utils.db import initdb


def main() -> None:
    """Create or upgrade the tables, then the pool, then show the DAGs."""
    initdb()
    Pool.create_or_update_pool(
        name="nightshelf",
        slots=1,
        description="Work that takes the machine alone: training, scoring, loading.",
        include_deferred=False,
    )
    _show_dags()


def _show_dags() -> None:
    """Write the DAGs down as the dag-processor would: it starts 6 s later than this process is ready to."""
    bundles = DagBundlesManager()
    bundles.sync_bundles_to_db()
    for bundle in bundles.get_all_dag_bundles():
        bundle.initialize()
        found = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        sync_bag_to_db(found, bundle.name, bundle.version)


if __name__ == "__main__":
    main()
