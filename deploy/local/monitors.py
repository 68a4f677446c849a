"""What `make monitoring` runs, and what it is given: command lines, Prometheus's targets, configurations.

In: ports and the addresses of the local stack. Out: command lines by name, and files below a folder. Guarantees that
every address is on loopback, that what is scraped and checked is what stands in `monitoring/`, and that Alertmanager
has nobody to tell.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.local.settings import HOST, ROOT, LocalSettings

CONFIGURATION = ROOT / "monitoring"


class ProgramMissing(RuntimeError):
    """A program of the monitoring is not installed; the message says which and how to install it."""


@dataclass(frozen=True)
class MonitoringSettings:
    """Where the parts listen; a variable is the field's name in capitals, prefixed. The ports are the usual ones."""

    local_prometheus_port: int = 9090
    local_alertmanager_port: int = 9093
    local_node_exporter_port: int = 9100
    local_statsd_exporter_port: int = 9103
    local_nginx_exporter_port: int = 9113
    local_blackbox_exporter_port: int = 9115
    local_redis_exporter_port: int = 9121
    local_process_exporter_port: int = 9256

    def address(self, part: str) -> str:
        """Return host and port of a part, `prometheus` or `redis_exporter`."""
        return f"{HOST}:{getattr(self, f'local_{part}_port')}"


def exporters(
    settings: MonitoringSettings, folder: Path, nginx_status: str, statsd_port: int
) -> dict[str, list[str]]:
    """Return the exporters' command lines; collectd's configuration is written below `folder`.

    Raises ProgramMissing.
    """
    at = settings.address
    collectd = folder / "collectd.conf"
    collectd.write_text(_collectd(settings, statsd_port), encoding="utf-8")
    # Reading each page of each process for its share of memory costs seconds; the resident size is reported without.
    cheap = ("-threads=false", "-gather-smaps=false", "-recheck")
    commands: dict[str, list[str]] = {
        "node": ["prometheus-node-exporter", f"--web.listen-address={at('node_exporter')}"],
        "redis": ["prometheus-redis-exporter", "-web.listen-address", at("redis_exporter")],
        "nginx": [
            "prometheus-nginx-exporter",
            *("-web.listen-address", at("nginx_exporter"), "-nginx.scrape-uri", nginx_status),
        ],
        "blackbox": [
            "prometheus-blackbox-exporter",
            f"--web.listen-address={at('blackbox_exporter')}",
            f"--config.file={CONFIGURATION / 'blackbox.yaml'}",
        ],
        "process": [
            "prometheus-process-exporter",
            *("-web.listen-address", at("process_exporter"), *cheap),
            *("-config.path", str(CONFIGURATION / "processes.yaml")),
        ],
        "statsd": ["collectd", "-f", "-C", str(collectd)],
    }
    return {
        f"{name}-exporter": [_installed(command[0]), *command[1:]]
        for name, command in commands.items()
    }


def servers(settings: MonitoringSettings, folder: Path) -> dict[str, list[str]]:
    """Return the command lines of Prometheus and Alertmanager, which work below `folder`.

    Raises ProgramMissing.
    """
    commands = {
        "alertmanager": [
            "prometheus-alertmanager",
            f"--config.file={folder / 'alertmanager.yaml'}",
            f"--web.listen-address={settings.address('alertmanager')}",
            # An address of its own to talk to others, which there are not, would be open to the network.
            "--cluster.listen-address=",
            f"--storage.path={folder / 'alertmanager'}",
        ],
        "prometheus": [
            "prometheus",
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--web.listen-address={settings.address('prometheus')}",
            f"--storage.tsdb.path={folder / 'data'}",
        ],
    }
    return {name: [_installed(command[0]), *command[1:]] for name, command in commands.items()}


def targets(
    settings: MonitoringSettings, stack: LocalSettings, airflow_url: str
) -> dict[str, list[dict[str, Any]]]:
    """Return what Prometheus asks, by the name of the file below targets/."""
    at = settings.address
    redis = [f"{node.host}:{node.port}" for node in stack.redis]
    nginx = f"{HOST}:{stack.local_nginx_metrics_port}"
    health = f"{airflow_url}/api/v2/monitor/health"
    return {
        "prometheus": [{"targets": [at("prometheus")]}],
        "alertmanager": [{"targets": [at("alertmanager")]}],
        "edge": [{"targets": [f"{HOST}:{port}" for port in stack.edge_ports]}],
        "batch": [{"targets": [f"{HOST}:{stack.local_batch_port}"]}],
        "nginx": [{"targets": [at("nginx_exporter"), nginx]}] if stack.has_nginx else [],
        "node": [{"targets": [at("node_exporter")]}],
        "processes": [{"targets": [at("process_exporter")]}],
        "statsd": [{"targets": [at("statsd_exporter")]}],
        "redis": [{"targets": redis, "labels": {"exporter": at("redis_exporter")}}],
        "airflow": [{"targets": [health], "labels": {"exporter": at("blackbox_exporter")}}],
        "postgres": [],
        "certificate": [],
    }


def silent(alertmanager: str) -> str:
    """Return Alertmanager's configuration with routes, groups and inhibitions, and nobody to tell."""
    content = yaml.safe_load(alertmanager)
    content["receivers"] = [{"name": receiver["name"]} for receiver in content["receivers"]]
    del content["global"], content["templates"]
    return str(yaml.safe_dump(content, sort_keys=False))


def configure(folder: Path, found: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write the configuration of both servers below `folder`; the rules are those of the checkout."""
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    for name, groups in found.items():
        (folder / "targets" / f"{name}.yaml").write_text(json.dumps(groups), encoding="utf-8")
    rules = folder / "rules"
    rules.unlink(missing_ok=True)
    rules.symlink_to(CONFIGURATION / "rules")
    shutil.copyfile(CONFIGURATION / "prometheus.yaml", folder / "prometheus.yaml")
    text = (CONFIGURATION / "alertmanager.yaml").read_text(encoding="utf-8")
    (folder / "alertmanager.yaml").write_text(silent(text), encoding="utf-8")


def _collectd(settings: MonitoringSettings, statsd_port: int) -> str:
    text = (CONFIGURATION / "collectd.conf").read_text(encoding="utf-8")
    text = re.sub(r'Port "8125"', f'Port "{statsd_port}"', text)
    return re.sub(r'Port "9103"', f'Port "{settings.local_statsd_exporter_port}"', text)


def _installed(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        raise ProgramMissing(
            f"{program} is not installed\n"
            "  where: the PATH\n"
            "  do: `make packages` installs the Debian packages of the monitoring"
        )
    return found
