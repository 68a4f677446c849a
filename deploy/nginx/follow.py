"""NGINX in a container: it follows the replicas, however many there are, and its certificate and keys.

In: a folder and the variables of `deploy.nginx.settings`; in NIGHTSHELF_NGINX_REPLICAS a name may stand for several
addresses (`edge:8081`). Out: a running NGINX. Guarantees that a change of addresses, certificate or API keys is taken
up within seconds by a reload, which ends no request; that a name which stands for nothing at the moment leaves
NGINX as it is; and that SIGTERM lets requests in hand finish. `follow healthy` says whether NGINX answers.

Nobody is sent to a replica that has not got ready yet, while there is another, nor to one that is gone: who is about to
stop replicas writes their addresses into the file `leaving` of the folder, and stops them once the file `replicas`,
which tells whom NGINX sends requests to, names them no longer.
"""

import contextlib
import hashlib
import http.client
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from deploy.nginx import configuration, exporter
from deploy.nginx.settings import NginxSettings, from_environment, listed
from schemas.environment import EnvironmentProblem

LEAVING = "leaving"
TAKEN_UP = "replicas"
_LOOK_EVERY_S = 1.0
#: A new worker is there after milliseconds; on a machine with a load of 25 it took seconds.
_RELOADED_WITHIN_S = 30.0


def addresses(replicas: str) -> str:
    """Return the replicas with each name replaced by all addresses it stands for, in order; "" for none."""
    found: set[str] = set()
    for replica in listed(replicas):
        if replica.startswith("unix:"):
            found.add(replica)
            continue
        host, _, port = replica.rpartition(":")
        try:
            known = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except socket.gaierror:
            continue
        for family, *_, address in known:
            name = f"[{address[0]}]" if family == socket.AF_INET6 else str(address[0])
            found.add(f"{name}:{port}")
    return ",".join(sorted(found))


def staying(found: str, leaving: str) -> str:
    """Return the addresses without those that leave; all, where nobody would be left."""
    gone = set(leaving.split())
    return ",".join(address for address in listed(found) if address not in gone) or found


def state(settings: NginxSettings) -> str:
    """Return a digest over what NGINX reads from elsewhere: certificate, key, API keys."""
    digest = hashlib.sha256()
    for name in ("nginx_tls_certificate", "nginx_tls_key", "nginx_api_keys_file"):
        file = getattr(settings, name)
        digest.update(Path(file).read_bytes() if file and Path(file).exists() else b"-")
    return digest.hexdigest()


def run(folder: Path, settings: NginxSettings) -> int:
    """Run NGINX until SIGTERM; return its exit code. Raises EnvironmentProblem where its metrics cannot be served."""
    if settings.nginx_metrics_listen:
        exporter.start(settings.nginx_metrics_listen)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: asked.append(number))
    current = ""
    while not current and not asked:
        current = _wanted(folder, settings, current)
        if not current:
            _pause(asked)
    if asked:
        return 0
    known = state(settings)
    configuration.write(folder, replace(settings, nginx_replicas=current))
    with subprocess.Popen(configuration.command(folder)) as nginx:
        _tell(folder, current)
        while not _pause(asked) and nginx.poll() is None:
            now, known_now = _wanted(folder, settings, current), state(settings)
            if (now and now != current) or known_now != known:
                current, known = now or current, known_now
                _take_up(folder, replace(settings, nginx_replicas=current), nginx.pid)
        return _ended(nginx)


def _pause(asked: list[int]) -> bool:
    """Wait until it is time to look again or to stop; say whether to stop.

    Not by an Event: its `set` in the handler of a signal waits for ever when the signal came within its `wait`.
    """
    ends_at = time.monotonic() + _LOOK_EVERY_S
    while not asked and time.monotonic() < ends_at:
        time.sleep(_LOOK_EVERY_S / 5)
    return bool(asked)


def _ended(nginx: subprocess.Popen[bytes]) -> int:
    """Let NGINX finish and return its exit code; a signal that comes while it starts it notices with the next only."""
    while True:
        nginx.send_signal(signal.SIGQUIT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return nginx.wait(_LOOK_EVERY_S)


def _wanted(folder: Path, settings: NginxSettings, current: str) -> str:
    """Return whom NGINX shall send requests to; "" for nobody."""
    leaving = folder / LEAVING
    text = leaving.read_text(encoding="utf-8") if leaving.exists() else ""
    found = staying(addresses(settings.nginx_replicas), text)
    # Asked once: of a replica that was ready NGINX finds out by itself what becomes of it.
    known = set(listed(current))
    return ",".join(each for each in listed(found) if each in known or _ready(each)) or found


def _ready(replica: str) -> bool:
    """Say whether a replica has read the live release; one on a socket of this machine is believed."""
    if replica.startswith("unix:"):
        return True
    return _status(replica, "/readyz") == HTTPStatus.OK


def _tell(folder: Path, replicas: str) -> None:
    new = folder / f"{TAKEN_UP}.new"
    new.write_text("\n".join([*listed(replicas), ""]), encoding="utf-8")
    new.replace(folder / TAKEN_UP)


def _children(process: int) -> set[str]:
    return set(Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split())


def _take_up(folder: Path, settings: NginxSettings, nginx: int) -> None:
    before = _children(nginx)
    configuration.write(folder, settings)
    try:
        configuration.reload(folder)
    except subprocess.CalledProcessError:
        # NGINX has said what is wrong, and goes on with what it had: half a pair of a certificate, for example.
        print("error: NGINX refuses the new configuration; the old one stays", file=sys.stderr)
    else:
        # The signal only asks for it: requests go by the new configuration from the first new worker on.
        deadline = time.monotonic() + _RELOADED_WITHIN_S
        while _children(nginx) <= before and time.monotonic() < deadline:
            time.sleep(0.05)
        _tell(folder, settings.nginx_replicas)
        print(f"replicas: {settings.nginx_replicas}", file=sys.stderr)


def healthy(settings: NginxSettings) -> bool:
    """Say whether NGINX answers on its plain port; that no replica does is no illness of NGINX."""
    host, _, port = settings.nginx_listen.rpartition(":")
    host = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104  # asked, not bound
    return _status(f"{host}:{port}", "/nginx-status") != 0


def _status(address: str, path: str) -> int:
    """Return the status of an answer, 0 where there is none."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def main() -> None:
    """Run or ask NGINX; a problem is printed without a traceback and exits with 2."""
    try:
        settings = from_environment()
        match sys.argv[1:]:
            case ["healthy"]:
                sys.exit(0 if healthy(settings) else 1)
            case [folder]:
                sys.exit(run(Path(folder), settings))
            case _:
                sys.exit("usage: python -m deploy.nginx.follow FOLDER | healthy")
    except (EnvironmentProblem, configuration.NginxMissing) as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
