"""NGINX in a container: it follows the replicas, however many there are, and its certificate and keys.

In: a folder and the variables of `deploy.nginx.settings`; in NIGHTSHELF_NGINX_REPLICAS a name may stand for several
addresses (`edge:8081`). Out: a running NGINX. Guarantees that a change of addresses, certificate or API keys is taken
up within seconds by a reload, which ends no request; that a name which stands for nothing at the moment leaves
NGINX as it is; and that SIGTERM lets requests in hand finish. `follow healthy` says whether NGINX answers.
"""

import hashlib
import http.client
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

from deploy.nginx import configuration
from deploy.nginx.settings import NginxSettings, from_environment, listed
from schemas.environment import EnvironmentProblem

_LOOK_EVERY_S = 1.0


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


def state(settings: NginxSettings) -> str:
    """Return a digest over what NGINX reads from elsewhere: certificate, key, API keys."""
    digest = hashlib.sha256()
    for name in ("nginx_tls_certificate", "nginx_tls_key", "nginx_api_keys_file"):
        file = getattr(settings, name)
        digest.update(Path(file).read_bytes() if file and Path(file).exists() else b"-")
    return digest.hexdigest()


def run(folder: Path, settings: NginxSettings) -> int:
    """Run NGINX until SIGTERM; return its exit code."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    current = ""
    while not current and not stop.is_set():
        current = addresses(settings.nginx_replicas)
        if not current:
            stop.wait(_LOOK_EVERY_S)
    if stop.is_set():
        return 0
    known = state(settings)
    configuration.write(folder, replace(settings, nginx_replicas=current))
    with subprocess.Popen(configuration.command(folder)) as nginx:
        while not stop.wait(_LOOK_EVERY_S) and nginx.poll() is None:
            now, known_now = addresses(settings.nginx_replicas), state(settings)
            if (now and now != current) or known_now != known:
                current, known = now or current, known_now
                _take_up(folder, replace(settings, nginx_replicas=current))
        nginx.send_signal(signal.SIGQUIT)
        return nginx.wait()


def _take_up(folder: Path, settings: NginxSettings) -> None:
    configuration.write(folder, settings)
    try:
        configuration.reload(folder)
    except subprocess.CalledProcessError:
        # NGINX has said what is wrong, and goes on with what it had: half a pair of a certificate, for example.
        print("error: NGINX refuses the new configuration; the old one stays", file=sys.stderr)
    else:
        print(f"replicas: {settings.nginx_replicas}", file=sys.stderr)


def healthy(settings: NginxSettings) -> bool:
    """Say whether NGINX answers on its plain port; that no replica does is no illness of NGINX."""
    host, _, port = settings.nginx_listen.rpartition(":")
    host = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104  # asked, not bound
    connection = http.client.HTTPConnection(host, int(port), timeout=2)
    try:
        connection.request("GET", "/nginx-status")
        return bool(connection.getresponse().status)
    except OSError:
        return False
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
