"""A real Postgres on loopback.

In: a folder and a port. Out: the SQLAlchemy URL of an empty database. Guarantees that the server ends with the block.
"""

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote


def _programs() -> Path:
    """Return the folder of the newest Postgres that is installed."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name)
    )
    assert found, "Postgres is missing; `make packages-slow` installs it"
    return found[-1]


@contextmanager
def running_postgres(folder: Path, port: int, password: str) -> Iterator[str]:
    """Give the SQLAlchemy URL of an empty database of a real server on loopback, which ends with the block."""
    programs, secret = _programs(), folder / "password"
    data = folder / "data"
    # Postgres refuses to run as root.
    owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    secret.write_text(f"{password}\n", encoding="utf-8")
    data.mkdir(mode=0o700)
    for path in (secret, data, folder):
        os.chown(path, owner.pw_uid, owner.pw_gid)

    def call(*arguments: str) -> None:
        subprocess.run(
            [str(programs / arguments[0]), *arguments[1:]],
            check=True,
            stdout=subprocess.DEVNULL,
            user=owner.pw_uid,
            group=owner.pw_gid,
            cwd=folder,
            env={**os.environ, "PGPASSWORD": password},
        )

    secured = ("--auth", "scram-sha-256", "--pwfile", str(secret))
    call("initdb", "--pgdata", str(data), "--username", "airflow", *secured)
    listening = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    )
    call("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", listening, "start")
    try:
        call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "airflow", "airflow")
        yield f"postgresql+psycopg2://airflow:{quote(password)}@127.0.0.1:{port}/airflow"
    finally:
        call("pg_ctl", "-D", str(data), "-w", "-m", "fast", "stop")
