"""The whole house on loopback: Redis Cluster, edge replicas, NGINX, exporters, a batch run, Prometheus, Alertmanager.

Everything is the real program. Time is shrunk in one place: scrapes and evaluations come every two seconds, and what
an alert waits for (`for`) is divided; thresholds and windows stay as they are.
"""

import http.server
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from deploy.local import cluster
from deploy.nginx import configuration
from deploy.nginx.settings import NginxSettings
from jobs import activate, publish
from jobs.release.folder import Artifacts
from jobs.runtime.settings import Settings
from schemas.environment import Node
from tests.monitoring.rules import MONITORING
from tests.releases import write_release

HOST = "127.0.0.1"
DEADLINE_S = 120
#: By what an alert's `for` is divided. A failover takes 3 s whatever the test: its alerts must keep their distance.
_SHRUNK = {"store.yaml": 3}
_SHRUNK_ELSE = 60
_SECONDS = {"s": 1, "m": 60, "h": 3600}
#: As Airflow 3 answers at /api/v2/monitor/health.
_AIRFLOW = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "healthy"}}


def until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition; fails after the deadline."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        time.sleep(0.1)


def get(url: str) -> bytes:
    """Return what a URL answers."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # loopback
        return bytes(answer.read())


def answers(url: str) -> bool:
    """Say whether a URL answers with 200."""
    try:
        get(url)
    except OSError:
        return False
    return True


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


@dataclass
class House:
    """What runs, by name, and where it listens."""

    folder: Path
    ports: dict[str, int]
    redis: tuple[Node, ...]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    receiver: Receiver = field(init=False)

    @property
    def settings(self) -> Settings:
        """Settings of the jobs."""
        return Settings(artifacts=self.folder / "artifacts", redis=self.redis, retire_grace_s=0)

    def url(self, name: str, path: str = "") -> str:
        """Return the address of a part."""
        return f"http://{HOST}:{self.ports[name]}{path}"

    def start(self, name: str, command: Sequence[str], **environment: str) -> None:
        """Start a process; its output goes to a log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                list(command), stdout=log, stderr=log, env={**os.environ, **environment}
            )

    def kill(self, name: str) -> None:
        """End a process as the kernel would for memory."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait(timeout=10)

    def close(self) -> None:
        """Stop everything."""
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.receiver.close()

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the series that a query gives now."""
        path = f"/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        found: list[dict[str, Any]] = json.loads(get(self.url("prometheus", path)))["data"][
            "result"
        ]
        return found

    def state(self, alert: str, severity: str) -> str:
        """Return inactive, pending or firing."""
        groups = json.loads(get(self.url("prometheus", "/api/v1/rules?type=alert")))["data"][
            "groups"
        ]
        return next(
            str(rule["state"])
            for group in groups
            for rule in group["rules"]
            if rule["name"] == alert and rule["labels"]["severity"] == severity
        )

    def go_live(self, data_as_of: datetime, variant: int) -> str:
        """Publish and activate a small release whose newest row arrived at a moment."""
        folder = write_release(self.settings.artifacts, "2020-01-01", variant=variant)
        record = json.loads((folder.records / "extract.json").read_text("utf-8"))
        record["counts"]["data_as_of"] = data_as_of.isoformat()
        (folder.records / "extract.json").write_text(json.dumps(record))
        publish.run(folder, self.settings)
        activate.run(Artifacts(self.settings.artifacts), folder.release, self.settings, force=True)
        return folder.release

    # ---- parts ----------------------------------------------------------------------------------------------------

    def start_redis(self, port: int) -> None:
        """Start a Redis node."""
        command = cluster.server_command(port, self.folder / "redis" / str(port))
        self.start(f"redis-{port}", [*command, "--maxmemory", "200mb"])

    def start_edge(self, name: str, workers: int = 1) -> None:
        """Start an edge replica and wait until it is ready."""
        self.start(
            name,
            [str(Path(sys.executable).with_name("nightshelf-edge"))],
            NIGHTSHELF_EDGE_PORT=str(self.ports[name]),
            NIGHTSHELF_EDGE_WORKERS=str(workers),
            NIGHTSHELF_REDIS=self.nodes,
            # A busy machine must not turn look-ups into fallbacks here.
            NIGHTSHELF_LOOKUP_DEADLINE_MS="5000",
            NIGHTSHELF_DRAIN_S="0.1",
        )
        until(lambda: answers(self.url(name, "/readyz")), f"{name} is ready")

    @property
    def nodes(self) -> str:
        """The value of NIGHTSHELF_REDIS."""
        return ",".join(f"{node.host}:{node.port}" for node in self.redis)

    def nightshelf(self, *arguments: object) -> None:
        """Run a command of the jobs to its good end."""
        subprocess.run(
            [str(Path(sys.executable).with_name("nightshelf")), *map(str, arguments)],
            check=True,
            capture_output=True,
            env={
                **os.environ,
                "NIGHTSHELF_ARTIFACTS": str(self.settings.artifacts),
                "NIGHTSHELF_REDIS": self.nodes,
                "NIGHTSHELF_RUN_BY": "recommender_train/manual__1",
            },
        )

    def run_a_day(self) -> None:
        """Make data, land four days of it, and run the whole chain for yesterday."""
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        self.settings.artifacts.mkdir()
        source = self.folder / "source"
        numbers = ("--users", 300, "--books", 150, "--ratings", 9000, "--seed", 1)
        self.nightshelf("synthesize", "--out", source, *numbers)
        with (source / "ratings.csv").open("a") as file:
            # Books that nobody knows: rejects to be counted.
            file.write("1,99999,5\n2,99999,4\n")
        first = yesterday - timedelta(days=3)
        self.nightshelf("replay", "--source", source, "--from", first, "--to", yesterday)
        self.nightshelf(
            "run", "--partition", yesterday, "--approved-by", "a test", "--reason", "to be seen"
        )

    def start_parts(self) -> None:
        """Start everything that Prometheus asks, but the Redis nodes and the run."""
        self.receiver = Receiver(self.ports["receiver"])
        (self.folder / "token").write_text("a-token")
        self.start_edge("edge-a", workers=2)
        self.start_edge("edge-b")
        replicas = ",".join(f"{HOST}:{self.ports[name]}" for name in ("edge-a", "edge-b"))
        chosen = NginxSettings(
            nginx_listen=f"{HOST}:{self.ports['nginx']}", nginx_replicas=replicas
        )
        configuration.write(self.folder / "nginx", chosen)
        self.start("nginx", configuration.command(self.folder / "nginx"))
        until(lambda: answers(self.url("nginx", "/healthz")), "NGINX answers")
        self._start_tls()
        at = {name: f"{HOST}:{port}" for name, port in self.ports.items()}
        self.start(
            "batch",
            [str(Path(sys.executable).with_name("nightshelf")), "metrics", "--listen", at["batch"]],
            NIGHTSHELF_ARTIFACTS=str(self.settings.artifacts),
        )
        self.start(
            "redis-exporter",
            ["prometheus-redis-exporter", "-web.listen-address", at["redis-exporter"]],
        )
        self.start(
            "nginx-exporter",
            ["prometheus-nginx-exporter", "-web.listen-address", at["nginx-exporter"],
             "-nginx.scrape-uri", self.url("nginx", "/nginx-status")],
        )  # fmt: skip
        self.start("node", ["prometheus-node-exporter", f"--web.listen-address={at['node']}"])
        # There is no database here: the exporter says so, and that is what is asked of it.
        self.start(
            "postgres",
            ["prometheus-postgres-exporter", f"--web.listen-address={at['postgres']}"],
            DATA_SOURCE_NAME=f"postgresql://nobody@{HOST}:1/none?sslmode=disable",
        )
        self.start(
            "blackbox",
            ["prometheus-blackbox-exporter", f"--web.listen-address={at['blackbox']}",
             f"--config.file={MONITORING / 'blackbox.yaml'}"],
        )  # fmt: skip

    def _start_tls(self) -> None:
        certificate, key = self.folder / "edge.crt", self.folder / "edge.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj",
             "/CN=localhost", "-out", str(certificate), "-keyout", str(key)],
            check=True, capture_output=True,
        )  # fmt: skip
        self.start(
            "tls",
            ["openssl", "s_server", "-accept", f"{HOST}:{self.ports['tls']}", "-cert", str(certificate),
             "-key", str(key), "-www", "-quiet"],
        )  # fmt: skip
        until(self._shakes_hands, "TLS answers")

    def _shakes_hands(self) -> bool:
        try:
            return bool(ssl.get_server_certificate((HOST, self.ports["tls"])))
        except OSError:
            return False

    def start_monitoring(self) -> None:
        """Start Prometheus and Alertmanager with the project's configuration, times shrunk."""
        folder = self.folder / "monitoring"
        (folder / "targets").mkdir(parents=True)
        (folder / "rules").mkdir()
        for name, target in self._targets().items():
            (folder / "targets" / f"{name}.yaml").write_text(yaml.safe_dump([target]))
        for path in (MONITORING / "rules").glob("*.yaml"):
            (folder / "rules" / path.name).write_text(shrunk(path))
        text = (MONITORING / "prometheus.yaml").read_text("utf-8")
        text = re.sub(
            r"(scrape_interval|evaluation_interval|scrape_timeout): \d+s", r"\1: 2s", text
        )
        (folder / "prometheus.yaml").write_text(text)
        (folder / "alertmanager.yaml").write_text(self._alertmanager())
        self.start(
            "alertmanager",
            ["prometheus-alertmanager", f"--config.file={folder / 'alertmanager.yaml'}",
             f"--web.listen-address={HOST}:{self.ports['alertmanager']}", "--cluster.listen-address=",
             f"--storage.path={folder / 'alertmanager'}"],
        )  # fmt: skip
        self.start(
            "prometheus",
            ["prometheus", f"--config.file={folder / 'prometheus.yaml'}",
             f"--web.listen-address={HOST}:{self.ports['prometheus']}",
             f"--storage.tsdb.path={folder / 'data'}", "--rules.alert.resend-delay=1s"],
        )  # fmt: skip
        until(lambda: answers(self.url("prometheus", "/-/ready")), "Prometheus is ready")
        until(lambda: answers(self.url("alertmanager", "/-/ready")), "Alertmanager is ready")

    def _targets(self) -> dict[str, Any]:
        at = {name: f"{HOST}:{port}" for name, port in self.ports.items()}
        redis = [f"{node.host}:{node.port}" for node in self.redis]
        return {
            "prometheus": {"targets": [at["prometheus"]]},
            "alertmanager": {"targets": [at["alertmanager"]]},
            "edge": {"targets": [at["edge-a"], at["edge-b"]]},
            "batch": {"targets": [at["batch"]]},
            "nginx": {"targets": [at["nginx-exporter"]]},
            "node": {"targets": [at["node"]]},
            "postgres": {"targets": [at["postgres"]]},
            "redis": {"targets": redis, "labels": {"exporter": at["redis-exporter"]}},
            "airflow": {
                "targets": [self.url("receiver", "/api/v2/monitor/health")],
                "labels": {"exporter": at["blackbox"]},
            },
            "certificate": {"targets": [at["tls"]], "labels": {"exporter": at["blackbox"]}},
        }

    def _alertmanager(self) -> str:
        """Return the project's routes and inhibitions with every receiver at this test's web server."""
        content = yaml.safe_load((MONITORING / "alertmanager.yaml").read_text("utf-8"))
        content["global"] = {}
        content["templates"] = []
        for route in (content["route"], *content["route"]["routes"]):
            route.update(group_wait="0s", group_interval="1s")
        for receiver in content["receivers"]:
            name = receiver["name"]
            receiver.clear()
            receiver["name"] = name
            if name == "dead-mans-switch":
                continue
            token = {"authorization": {"credentials_file": str(self.folder / "token")}}
            url = self.url("receiver", f"/{name}")
            receiver["webhook_configs"] = [{"url": url, "http_config": token}]
        return str(yaml.safe_dump(content))


def shrunk(path: Path) -> str:
    """Return a file of rules that are evaluated each second and wait shorter."""
    divisor = _SHRUNK.get(path.name, _SHRUNK_ELSE)

    def shorter(match: re.Match[str]) -> str:
        seconds = int(match[1]) * _SECONDS[match[2]]
        return f"for: {max(1, seconds // divisor)}s"

    text = re.sub(r"\bfor: (\d+)([smh])\b", shorter, path.read_text("utf-8"))
    return re.sub(r"^(\s+)interval: \d+s", r"\1interval: 1s", text, flags=re.MULTILINE)
