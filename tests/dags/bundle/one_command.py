"""A DAG of one command, given by the run's parameter `arguments` (at most eight)."""

from airflow.sdk import DAG, Param

from nightshelf_airflow.command import NightshelfOperator

with DAG(
    dag_id="one_command",
    schedule=None,
    params={"arguments": Param([], type="array")},
) as dag:
    NightshelfOperator(
        task_id="command",
        # Empty arguments are left out.
        arguments=[f"{{{{ params.arguments[{index}] | default('') }}}}" for index in range(8)],
        retries=1,
        retry_delay=0.0,
    )
