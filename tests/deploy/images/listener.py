"""What stands in for Jaeger (spans, OTLP over HTTP, port 4318) and for Vector (lines, Fluentd's protocol, port 24224).

In: whatever is sent. Out: the same bytes in /tmp/received. Guarantees nothing but that: the test reads them.
"""

import http.server
import socketserver
import threading
from pathlib import Path

_RECEIVED = Path("/tmp/received")  # noqa: S108  # a container's own
_LOCK = threading.Lock()


def _keep(content: bytes) -> None:
    with _LOCK, _RECEIVED.open("ab") as file:
        file.write(content)


class _Spans(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        _keep(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


class _Lines(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while content := self.request.recv(65536):
            _keep(content)


if __name__ == "__main__":
    lines = socketserver.ThreadingTCPServer(("", 24224), _Lines)
    threading.Thread(target=lines.serve_forever, daemon=True).start()
    http.server.ThreadingHTTPServer(("", 4318), _Spans).serve_forever()
