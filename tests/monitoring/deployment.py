"""A deployment on loopback: Redis Cluster, edge replicas, NGINX, exporters, a batch run, Prometheus, Alertmanager.

Everything is the real program; its times are shrunk in shrunk.py.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from deploy.local import cluster, monitors
from deploy.local.monitors import MonitoringSettings
from jobs.pipeline import activate, publish
from jobs.runtime.artifacts import Artifacts
from jobs.runtime.settings import Settings
from schemas.environment import Node, node_list
from tests.harness.releases import write_release
from tests.monitoring import exporters, front, shrunk
from tests.monitoring.asking import answers, get, until
from tests.monitoring.receiver import HOST, Receiver
from tests.monitoring.rules import MONITORING


@dataclass
class Deployment:
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

    @property
    def at(self) -> dict[str, str]:
        """Host and port of every part."""
        return {name: f"{HOST}:{port}" for name, port in self.ports.items()}

    def start(self, name: str, command: Sequence[str], **environment: str) -> None:
        """Start a process; its output goes to a log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                list(command), stdout=log, stderr=log, env={**os.environ, **environment}
            )

    def kill(self, name: str) -> None:
        """End a process as the kernel would for memory."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait(timeout=60)

    def close(self) -> None:
        """Stop everything."""
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=60)
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
        # A node that a busy machine holds up for 2 s is not lost.
        own = ("--maxmemory", "200mb", "--cluster-node-timeout", "5000")
        self.start(f"redis-{port}", [*command, *own])

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
        return node_list(self.redis)

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
        front.start_nginx(self)
        front.start_tls(self)
        self.start(
            "batch",
            [
                str(Path(sys.executable).with_name("nightshelf")),
                "metrics",
                "--listen",
                self.at["batch"],
            ],
            NIGHTSHELF_ARTIFACTS=str(self.settings.artifacts),
        )
        exporters.start_all(self)

    def start_monitoring(self) -> None:
        """Start Prometheus and Alertmanager with the project's configuration, times shrunk."""
        folder = self.folder / "monitoring"
        (folder / "targets").mkdir(parents=True)
        (folder / "rules").mkdir()
        for name, target in self._targets().items():
            (folder / "targets" / f"{name}.yaml").write_text(yaml.safe_dump([target]))
        for path in (MONITORING / "rules").glob("*.yaml"):
            (folder / "rules" / path.name).write_text(shrunk.rules(path))
        (folder / "prometheus.yaml").write_text(shrunk.prometheus())
        (folder / "alertmanager.yaml").write_text(
            shrunk.alertmanager(
                self.folder / "token", lambda name: self.url("receiver", f"/{name}")
            )
        )
        settings = MonitoringSettings(
            local_prometheus_port=self.ports["prometheus"],
            local_alertmanager_port=self.ports["alertmanager"],
        )
        for name, command in monitors.servers(settings, folder).items():
            quick = ["--rules.alert.resend-delay=1s"] if name == "prometheus" else []
            self.start(name, [*command, *quick])
        until(lambda: answers(self.url("prometheus", "/-/ready")), "Prometheus is ready")
        until(lambda: answers(self.url("alertmanager", "/-/ready")), "Alertmanager is ready")

    def _targets(self) -> dict[str, Any]:
        at = self.at
        redis = [f"{node.host}:{node.port}" for node in self.redis]
        return {
            "prometheus": {"targets": [at["prometheus"]]},
            "alertmanager": {"targets": [at["alertmanager"]]},
            "edge": {"targets": [at["edge-a"], at["edge-b"]]},
            "batch": {"targets": [at["batch"]]},
            "nginx": {"targets": [at["nginx-exporter"], at["nginx-metrics"]]},
            "node": {"targets": [at["node-exporter"]]},
            "processes": {"targets": [at["process-exporter"]]},
            "statsd": {"targets": [at["statsd-exporter"]]},
            "postgres": {"targets": [at["postgres"]]},
            "redis": {"targets": redis, "labels": {"exporter": at["redis-exporter"]}},
            "airflow": {
                "targets": [self.url("receiver", "/api/v2/monitor/health")],
                "labels": {"exporter": at["blackbox-exporter"]},
            },
            "certificate": {
                "targets": [at["tls"]],
                "labels": {"exporter": at["blackbox-exporter"]},
            },
        }
