"""Within which bounds a table counts as good.

In: variables with the prefix `NIGHTSHELF_`. Out: one frozen `Bounds`. Guarantees that every bound is written once,
with its unit in its name; "ratio" is to the reference release, "share" is of one.
"""

from dataclasses import dataclass

from jobs.ingest.settings import DEFAULTS


@dataclass(frozen=True)
class Bounds:
    """Settings of the validation of tables; see the table in jobs/README.md.

    Interactions only ever grow from day to day, so the lower ratio is close to 1; the upper one is wide, since the
    first days of a replay double.
    """

    newest_row_max_age_hours: float = 48.0
    rows_min_ratio: float = 0.9
    rows_max_ratio: float = 3.0
    books_min_ratio: float = 0.9
    books_max_ratio: float = 1.5
    positive_min_share: float = 0.2
    positive_max_share: float = 0.98
    positive_max_share_change: float = 0.1
    genres_min_share: float = 0.5
    #: Also in RowSettings: extract clears other years.
    earliest_year: int = DEFAULTS.earliest_year
    cleared_max_share: float = 0.05
    user_max_day_share: float = 0.5
    user_max_catalogue_share: float = 0.9
    same_list_max_share: float = 0.5
    shelf_faults_max_share: float = 0.005
