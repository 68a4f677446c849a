"""Where Airflow listens and keeps its state on this machine, and what it is given through its environment.

In: variables with the prefix `NIGHTSHELF_`. Out: a frozen `AirflowSettings` and the environment of its processes.
Guarantees that secrets come from the environment or from files of mode 600 below the state folder, are the same
at every start, and never stand on a command line or in the process manager's configuration.
"""

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.environment import read

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
#: For Postgres: what was killed in the middle of a transaction keeps its locks for this long at most.
_GIVES_UP = "-c idle_in_transaction_session_timeout=60s"


@dataclass(frozen=True)
class AirflowSettings:
    """Airflow's address, folders and secrets; a variable is the field's name in capitals, prefixed."""

    airflow_port: int = 8088
    airflow_folder: Path = ROOT / ".run" / "airflow"
    airflow_environment: Path = ROOT / ".venvs" / "airflow"
    #: An SQLAlchemy URL, e.g. postgresql+psycopg2://airflow@127.0.0.1/airflow; SQLite without one.
    airflow_database: str | None = None
    airflow_secret: str | None = None
    airflow_password: str | None = None
    #: Where its metrics go by StatsD. A datagram that nobody takes costs nothing.
    airflow_statsd_host: str = HOST
    airflow_statsd_port: int = 8125

    @property
    def url(self) -> str:
        """Address of the UI and the REST API."""
        return f"http://{HOST}:{self.airflow_port}"

    @property
    def passwords(self) -> Path:
        """The passwords of the login page, by user."""
        return self.airflow_folder / "passwords.json"

    @property
    def socket(self) -> Path:
        """The supervisor's socket, in a short path: a socket's path holds 107 bytes at most."""
        digest = hashlib.sha256(str(self.airflow_folder.resolve()).encode()).hexdigest()[:8]
        folder = Path(tempfile.gettempdir()) / f"nightshelf-{os.getuid()}-{digest}"
        return folder / "supervisor.sock"


def from_environment(environ: Mapping[str, str] | None = None) -> AirflowSettings:
    """Return the settings. Raises schemas.environment.EnvironmentProblem when a variable cannot be used."""
    return read(AirflowSettings, os.environ if environ is None else environ)


def process_environment(
    settings: AirflowSettings, environ: Mapping[str, str], jobs: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of Airflow's processes; writes the secret and the password if they are new.

    `jobs` are variables of the `nightshelf` command where `environ` has none.
    """
    folder = settings.airflow_folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = settings.airflow_secret or _kept(folder / "secret")
    password = settings.airflow_password or _password(settings.passwords)
    _write_private(settings.passwords, json.dumps({"admin": password}))
    # Four programs write in turn; at a load of 40 on two cores one waited longer than SQLite's 5 s for its turn.
    database = settings.airflow_database or f"sqlite:///{folder / 'airflow.db'}?timeout=60"
    return {
        **jobs,
        **{name: value for name, value in environ.items() if not name.startswith("AIRFLOW__")},
        "PATH": f"{settings.airflow_environment / 'bin'}:{environ.get('PATH', os.defpath)}",
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW_CONFIG": str(Path(__file__).with_name("airflow.cfg")),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(Path(__file__).with_name("plugins")),
        "AIRFLOW__CORE__FERNET_KEY": _fernet_key(secret),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(settings.passwords.resolve()),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "PGOPTIONS": f"{environ.get('PGOPTIONS', '')} {_GIVES_UP}".strip(),
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(settings.airflow_port),
        "AIRFLOW__API__BASE_URL": settings.url,
        "AIRFLOW__API__SECRET_KEY": _derived(secret, "session").hex(),
        "AIRFLOW__API_AUTH__JWT_SECRET": _derived(secret, "jwt").hex(),
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": settings.airflow_statsd_host,
        "AIRFLOW__METRICS__STATSD_PORT": str(settings.airflow_statsd_port),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "task-logs"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(folder / "parse-logs"),
    }


def _derived(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), purpose.encode(), "sha256")


def _fernet_key(secret: str) -> str:
    return urlsafe_b64encode(_derived(secret, "fernet")).decode()


def _kept(path: Path) -> str:
    """Return the file's content, which is made up at the first start."""
    if not path.exists():
        _write_private(path, secrets.token_hex(32))
    return path.read_text(encoding="utf-8").strip()


def _password(path: Path) -> str:
    if path.exists():
        return str(json.loads(path.read_text(encoding="utf-8"))["admin"])
    return secrets.token_urlsafe(12)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text + "\n", encoding="utf-8")
