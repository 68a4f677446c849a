"""The answers that NGINX makes itself, counted for Prometheus: no replica knows of them.

In: one datagram of NGINX's access log for each of them (`templates/nginx.conf.j2`), on loopback at the port of
NIGHTSHELF_NGINX_METRICS_LISTEN. Out: `/metrics` at that address, by status and by how the last replica that was asked
failed. Guarantees bounded labels, and that what has not happened yet is there with 0: its first time has a rate.
"""

import re
import socket
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from deploy.nginx.settings import from_environment
from schemas.environment import EnvironmentProblem

_NAME = "nightshelf_nginx_answers_total"
_HELP = (
    "Answers that NGINX made itself, by status and by the last try of a replica. 502: no connection, or a broken "
    "answer. 504: no answer in time. none: no replica was asked."
)
#: The tag is this program's own; what stands before it is the time.
_LINE = re.compile(rb"nightshelf: (\d{3}) (.*)", re.DOTALL)
_STATUS = re.compile(rb"\d{3}")
_NONE = "none"
_EXPECTED = (("401", _NONE), ("429", _NONE), ("503", "502"), ("503", "504"), ("503", _NONE))
_DATAGRAM_BYTES = 2048
_BUFFER_BYTES = 4 << 20


class Answers:
    """How many answers of each kind NGINX made."""

    def __init__(self) -> None:
        """None of the expected kinds was seen yet."""
        self._counts = Counter(dict.fromkeys(_EXPECTED, 0))

    def count(self, line: bytes) -> None:
        """Count what a line of the log says; a datagram that is no such line is passed over."""
        found = _LINE.search(line)
        if found:
            tries = _STATUS.findall(found[2])
            self._counts[found[1].decode(), tries[-1].decode() if tries else _NONE] += 1

    def text(self) -> bytes:
        """Return all counts in Prometheus's text format."""
        lines = [f"# HELP {_NAME} {_HELP}", f"# TYPE {_NAME} counter"]
        lines += [
            f'{_NAME}{{status="{status}",upstream="{upstream}"}} {count}'
            for (status, upstream), count in sorted(self._counts.copy().items())
        ]
        return "\n".join([*lines, ""]).encode()


def start(listen: str) -> threading.Thread:
    """Hear NGINX and answer scrapes in threads that end with the process; return the one that hears.

    Raises EnvironmentProblem where the address cannot be listened at.
    """
    answers = Answers()
    host, _, port = listen.rpartition(":")
    try:
        hearing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        hearing.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        # Whatever scrapes may come from, lines come from the NGINX beside it alone.
        hearing.bind(("127.0.0.1", int(port)))
        server = _server(host.strip("[]"), int(port), answers)
    except OSError as error:
        raise EnvironmentProblem(
            f"NIGHTSHELF_NGINX_METRICS_LISTEN: cannot listen at {listen}: {error.strerror}"
        ) from error
    thread = threading.Thread(target=_hear, args=(hearing, answers), daemon=True)
    thread.start()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return thread


def _hear(hearing: socket.socket, answers: Answers) -> None:
    while True:
        answers.count(hearing.recv(_DATAGRAM_BYTES))


def _server(host: str, port: int, answers: Answers) -> ThreadingHTTPServer:
    class Scrape(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            known = self.path == "/metrics"
            body = answers.text() if known else b""
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Scrapes are not logged."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

    return Server((host, port), Scrape)


def main() -> None:
    """Count until ended; a problem is printed without a traceback and exits with 2."""
    try:
        listen = from_environment().nginx_metrics_listen
        if not listen:
            sys.exit(
                "usage: NIGHTSHELF_NGINX_METRICS_LISTEN=HOST:PORT python -m deploy.nginx.exporter"
            )
        start(listen).join()
    except EnvironmentProblem as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
