"""Who Alertmanager's webhooks reach in tests."""

import http.server
import json
import threading
from typing import Any

HOST = "127.0.0.1"
#: As Airflow 3 answers at /api/v2/monitor/health.
_AIRFLOW = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "healthy"}}


class Receiver:
    """A web server that keeps what it is sent and answers as Airflow's health page."""

    def __init__(self, port: int) -> None:
        """Listen at once."""
        self.received: list[dict[str, Any]] = []
        received = self.received

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Authorization"] == "Bearer a-token"
                received.extend(json.loads(body)["alerts"])
                self._answer(b"")

            def do_GET(self) -> None:
                self._answer(json.dumps(_AIRFLOW).encode())

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((HOST, port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def names(self, status: str = "firing") -> set[str]:
        """Return the names of alerts that were received with a status."""
        return {one["labels"]["alertname"] for one in self.received if one["status"] == status}
