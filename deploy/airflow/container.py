"""One part of Airflow in a container of its own: `container api-server|scheduler|dag-processor|prepare`.

In: the variables of `ContainerSettings`, secrets from files. Out: that part in place of this process. Guarantees that
no secret stands on a command line, and that a part which misses a secret ends at once and names it: nothing is
made up here, since all parts need the same.
"""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from deploy.airflow import settings as airflow
from schemas.environment import EnvironmentProblem, read

_PORT = 8080
_PARTS = {
    "api-server": ["airflow", "api-server", "--host", "0.0.0.0", "--port", str(_PORT)],  # noqa: S104  # its networks are the container's
    "scheduler": ["airflow", "scheduler", "--skip-serve-logs"],
    "dag-processor": ["airflow", "dag-processor"],
    "prepare": ["python", str(Path(airflow.__file__).with_name("prepare.py"))],
}


@dataclass(frozen=True)
class ContainerSettings:
    """What a part is given beside `AirflowSettings`; without defaults: a missing one is refused."""

    airflow_secret: str
    airflow_password: str
    postgres_password: str
    postgres_host: str = "postgres"
    airflow_server: str = "http://airflow-api:8080"
    airflow_public_url: str = "http://127.0.0.1:8088"
    airflow_statsd_host: str = airflow.HOST


def environment(given: ContainerSettings, environ: dict[str, str]) -> dict[str, str]:
    """Return the environment of a part."""
    password = quote(given.postgres_password, safe="")
    settings = replace(
        airflow.AirflowSettings(),
        airflow_folder=Path(environ["NIGHTSHELF_AIRFLOW_FOLDER"]),
        airflow_environment=Path(environ["NIGHTSHELF_AIRFLOW_ENVIRONMENT"]),
        airflow_secret=given.airflow_secret,
        airflow_password=given.airflow_password,
        airflow_statsd_host=given.airflow_statsd_host,
        airflow_database=f"postgresql+psycopg2://airflow:{password}@{given.postgres_host}/airflow",
    )
    return {
        **airflow.process_environment(settings, environ, {}),
        "AIRFLOW__API__BASE_URL": given.airflow_public_url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{given.airflow_server}/execution/",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": "/var/log/airflow",
    }


def main() -> None:
    """Become the part that is named; a problem is printed without a traceback and exits with 2."""
    if len(sys.argv) != 2 or sys.argv[1] not in _PARTS:  # noqa: PLR2004  # program and part
        sys.exit(f"usage: container {'|'.join(_PARTS)}")
    try:
        variables = environment(read(ContainerSettings, os.environ), dict(os.environ))
    except EnvironmentProblem as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    command = _PARTS[sys.argv[1]]
    program = str(Path(sys.executable).with_name(command[0]))
    os.execve(program, [program, *command[1:]], variables)  # noqa: S606  # in place of this process


if __name__ == "__main__":
    main()
