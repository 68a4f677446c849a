"""Land dated drops from a source that has no dates of its own, such as Goodbooks.

**Started by hand**: the form takes the folder and a range of days. The order of the rows becomes their day of arrival.
The first share lands on the first day. The rest is spread evenly over the days after it. A second run with the same
fields lands the same drops.

**A complete range may be landed at once.** A run of `recommender_train` takes only what had arrived by the end of its
own day, so it does not see drops of later days.

A source with dates of its own does not need this DAG. It writes `drops/ratings/ds=YYYY-MM-DD/` itself.
"""

from airflow.sdk import DAG, Param

from nightshelf_airflow.command import NightshelfOperator
from nightshelf_airflow.settings import DEFAULT_ARGS, POOL

with DAG(
    dag_id="recommender_replay",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULT_ARGS,
    tags=["nightshelf", "replay"],
    params={
        "source": Param(
            "",
            type="string",
            minLength=1,
            title="Source folder",
            description="A Goodbooks folder (ratings.csv, books.csv, ...) on the machine that runs the jobs.",
        ),
        "first_day": Param(
            None,
            type="string",
            format="date",
            title="First day",
            description="The first day to land.",
        ),
        "last_day": Param(
            None,
            type="string",
            format="date",
            title="Last day",
            description="The last day to land.",
        ),
        "first_day_share": Param(
            0.87,
            type="number",
            exclusiveMinimum=0,
            maximum=1,
            title="Share of the first day",
            description="The share of all rows that arrives on the first day.",
        ),
        "replace": Param(
            False,  # noqa: FBT003  # Param's first argument is the default
            type="boolean",
            title="Replace other drops",
            description="Replace drops that came from another source or range.",
        ),
    },
) as dag:
    NightshelfOperator(
        task_id="land",
        arguments=[
            *("replay", "--source", "{{ params.source }}"),
            *("--from", "{{ params.first_day }}", "--to", "{{ params.last_day }}"),
            *("--first-day-share", "{{ params.first_day_share }}"),
            "{{ '--replace' if params.replace else '' }}",
        ],
        pool=POOL,
    )
