"""What the pods are told in Kubernetes is what the code reads, and works: nothing is checked by name alone."""

import http.client
import os
import re
import ssl
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.nginx import configuration
from deploy.nginx import settings as nginx
from jobs.runtime import settings as jobs
from schemas.environment import PREFIX
from schemas.tracing import TraceSettings
from serving import settings as serving
from serving.edge import Edge
from tests.conftest import free_ports
from tests.deploy.kubernetes.rendered import KUBERNETES, OVERLAYS, ROOT, Rendered

#: Whose settings an image reads; SSL_CERT_FILE is OpenSSL's own.
READS: dict[str, tuple[type, ...]] = {
    "edge": (serving.Settings, TraceSettings),
    "nginx": (nginx.NginxSettings,),
    "run": (jobs.Settings, TraceSettings),
}
OF_OTHERS = {"SSL_CERT_FILE"}


@pytest.mark.parametrize("name", [*OVERLAYS, "by-hand"])
def test_each_variable_is_read(rendered: dict[str, Rendered], name: str) -> None:
    """A variable of a pod is a field of the settings that its program reads, or is used by its script."""
    for owner, container, _ in rendered[name].containers():
        found = set(_environment(rendered, name, container))
        if owner in READS:
            known = {PREFIX + field.name.upper() for kind in READS[owner] for field in fields(kind)}
            assert {one.removesuffix("_FILE") for one in found - OF_OTHERS} <= known | {
                one.removesuffix("_FILE") for one in known
            }, owner
        else:
            scripts = [
                ROOT / "deploy/redis" / file
                for file in ("node.sh", "users.sh", "form.sh", "healthy.sh")
            ]
            text = " ".join(
                [*container.get("args", []), *(script.read_text() for script in scripts)]
            )
            assert found <= set(re.findall(r"\$\{?([A-Z_]+)", text)), owner


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_edge_takes_its_settings(
    rendered: dict[str, Rendered], secrets_folder: Path, name: str
) -> None:
    """The replica's settings from the pod's variables: its user, its password from the file, TLS, all nodes."""
    container = _container(rendered[name], "edge")
    settings = serving.from_environment(
        _real(rendered[name].environment(container), secrets_folder)
    )
    assert settings.redis_user == "edge"
    assert settings.redis_password == _line(secrets_folder / "redis_edge_password")
    assert settings.redis_tls
    assert settings.redis_ca == secrets_folder / "redis_ca"
    assert len(settings.redis) == (6 if name == "small" else 1)
    # The image's own: it listens where the pod's ports say.
    dockerfile = (ROOT / "deploy/containers/Dockerfile").read_text()
    assert f"NIGHTSHELF_EDGE_PORT={container['ports'][0]['containerPort']}" in dockerfile


def test_the_job_takes_its_settings(rendered: dict[str, Rendered], secrets_folder: Path) -> None:
    """A job by hand comes as the loader, to the same nodes and namespace as the edge."""
    environment = _environment(rendered, "by-hand", _container(rendered["by-hand"], "run"))
    settings = jobs.from_environment(_real(environment, secrets_folder))
    assert settings.redis_user == "loader"
    assert settings.redis_password == _line(secrets_folder / "redis_loader_password")
    edge = serving.from_environment(
        _real(rendered["small"].environment(_container(rendered["small"], "edge")), secrets_folder)
    )
    assert (settings.redis, settings.redis_tls, settings.namespace) == (
        edge.redis, edge.redis_tls, edge.namespace,
    )  # fmt: skip


@pytest.mark.parametrize("name", OVERLAYS)
def test_nginx_takes_its_settings(
    rendered: dict[str, Rendered], secrets_folder: Path, tmp_path: Path, name: str
) -> None:
    """From the pod's variables the image's program writes a configuration that NGINX itself accepts."""
    environment = rendered[name].environment(_container(rendered[name], "nginx"))
    assert environment["NIGHTSHELF_NGINX_REPLICAS"] == "edge:8081"
    settings = nginx.from_environment(
        {**_real(environment, secrets_folder), "NIGHTSHELF_NGINX_REPLICAS": "127.0.0.1:8081"}
    )
    assert settings.tls
    configuration.write(tmp_path, settings)
    subprocess.run(configuration.command(tmp_path, "-q", "-t"), check=True)


def test_nginx_s_probe_asks_nginx_alone(
    rendered: dict[str, Rendered], secrets_folder: Path, tmp_path: Path
) -> None:
    """With the pod's variables and no replica that answers, the probes' path gets 200 over TLS: NGINX's own page."""
    container = _container(rendered["small"], "nginx")
    plain, secure, closed, metrics = free_ports(4)
    environment = {
        **os.environ,
        **_real(rendered["small"].environment(container), secrets_folder),
        "NIGHTSHELF_NGINX_REPLICAS": f"127.0.0.1:{closed}",
        "NIGHTSHELF_NGINX_LISTEN": f"127.0.0.1:{plain}",
        "NIGHTSHELF_NGINX_TLS_LISTEN": f"127.0.0.1:{secure}",
        "NIGHTSHELF_NGINX_METRICS_LISTEN": f"127.0.0.1:{metrics}",
    }
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    assert {(probe["path"], probe["scheme"]) for probe in probes} == {("/", "HTTPS")}
    # A kubelet does not look at the certificate.
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    # As the image's CMD has it.
    command = [sys.executable, "-m", "deploy.nginx.follow", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as follower:
        try:
            deadline = time.monotonic() + 60
            while True:
                connection = http.client.HTTPSConnection(
                    "127.0.0.1", secure, timeout=10, context=unchecked
                )
                try:
                    connection.request("GET", "/")
                    assert connection.getresponse().status == 200
                    break
                except OSError:
                    assert follower.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                finally:
                    connection.close()
            # As Prometheus finds it: the port that the pod names.
            named = {port["name"]: port["containerPort"] for port in container["ports"]}
            asked = rendered["small"].environment(container)["NIGHTSHELF_NGINX_METRICS_LISTEN"]
            assert asked == f"0.0.0.0:{named['metrics']}"
            scraped = http.client.HTTPConnection("127.0.0.1", metrics, timeout=10)
            scraped.request("GET", "/metrics")
            assert b'nightshelf_nginx_answers_total{status="503"' in scraped.getresponse().read()
            scraped.close()
        finally:
            follower.terminate()


def test_a_node_of_redis_starts(
    rendered: dict[str, Rendered], secrets_folder: Path, tmp_path: Path
) -> None:
    """The container's own command starts a node that announces its Service's address, and its probe finds it well."""
    container = _container(rendered["small"], "redis")
    files, [port] = ROOT / "deploy" / "redis", free_ports(1)
    resolver = tmp_path / "bin" / "getent"
    resolver.parent.mkdir()
    resolver.write_text(
        '#!/bin/sh\n[ "$1 $2" = "hosts localhost.shelves" ] && echo "10.1.2.3   $2"\n'
    )
    resolver.chmod(0o755)
    environment = {
        **rendered["small"].environment(container),
        "PATH": f"{resolver.parent}:{os.environ['PATH']}",
        "NODE_NAME": "localhost",
        "NODE_NAMESPACE": "shelves",
        "NODE_PORT": str(port),
        "REDIS_SECRETS": str(secrets_folder),
        "REDIS_RUN": str(tmp_path),
        "REDIS_DATA": str(tmp_path),
    }
    command = [
        *container["command"],
        *(part.replace("/opt/redis", str(files)) for part in container["args"]),
        *("node", "--bind", "127.0.0.1"),
    ]
    [healthy] = container["livenessProbe"]["exec"]["command"]
    probe = {**environment, "PATH": f"{_redis_cli_at(port, tmp_path)}:{os.environ['PATH']}"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as node:
        try:
            deadline = time.monotonic() + 60
            while subprocess.run(
                [healthy.replace("/opt/redis", str(files))], env=probe, check=False, stderr=subprocess.DEVNULL
            ).returncode:  # fmt: skip
                assert node.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            node.terminate()
    written = (tmp_path / "redis.conf").read_text()
    assert "cluster-announce-ip 10.1.2.3\n" in written
    assert "cluster-announce-hostname localhost\n" in written
    assert "tls-cluster yes\n" in written


def test_the_adapter_makes_what_the_autoscaler_asks_for(rendered: dict[str, Rendered]) -> None:
    """The series is one that the edge has, its new name is the one of the autoscaler, the pods' labels are scraped."""
    [rule] = yaml.safe_load((KUBERNETES / "monitoring/adapter.yaml").read_text())["rules"]["custom"]
    series = rule["seriesQuery"].partition("{")[0]
    told = Edge(serving.Settings()).metrics.text().decode()
    assert f"# TYPE {series} counter" in told.splitlines()
    made = re.sub(rule["name"]["matches"], rule["name"]["as"].replace("${1}", r"\1"), series)
    scaler = rendered["production"].named("HorizontalPodAutoscaler", "edge")
    asked = [
        metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"] if "pods" in metric
    ]
    assert asked == [made]
    labels = set(rule["resources"]["overrides"])
    [scrape] = yaml.safe_load((KUBERNETES / "monitoring/scrape.yaml").read_text())
    assert labels <= {one.get("target_label") for one in scrape["relabel_configs"]}


def test_prometheus_takes_the_scrape(tmp_path: Path) -> None:
    """Promtool accepts the fragment where it belongs, with targets by name: Debian's has no Kubernetes in it."""
    file = tmp_path / "prometheus.yml"
    fragment = yaml.safe_load((KUBERNETES / "monitoring/scrape.yaml").read_text())
    assert fragment[0].pop("kubernetes_sd_configs")[0]["role"] == "pod"
    file.write_text(yaml.safe_dump({"scrape_configs": fragment}))
    subprocess.run(["promtool", "check", "config", "--syntax-only", str(file)], check=True)


def _environment(
    rendered: dict[str, Rendered], name: str, container: dict[str, Any]
) -> dict[str, str]:
    # The Job by hand finds its ConfigMap where an overlay has made it.
    objects = [*rendered[name].objects, *(rendered["small"].objects if name == "by-hand" else [])]
    return Rendered(objects).environment(container)


def _container(rendered: Rendered, name: str) -> dict[str, Any]:
    return next(container for _, container, _ in rendered.containers() if container["name"] == name)


def _real(environment: dict[str, str], secrets_folder: Path) -> dict[str, str]:
    """Return the variables with the pod's mounts replaced by this machine's files."""
    places = {
        "/etc/nightshelf/redis/": f"{secrets_folder}/",
        "/etc/nightshelf/tls/tls.crt": str(secrets_folder / "edge_certificate"),
        "/etc/nightshelf/tls/tls.key": str(secrets_folder / "edge_key"),
        "/etc/nightshelf/keys/": f"{secrets_folder}/",
    }
    for mounted, real in places.items():
        environment = {name: value.replace(mounted, real) for name, value in environment.items()}
    return environment


def _line(file: Path) -> str:
    return file.read_text().splitlines()[0]


def _redis_cli_at(port: int, folder: Path) -> Path:
    """Return a folder with a redis-cli that asks this port: in a pod it is always 6379."""
    own = folder / "probe"
    own.mkdir()
    real = next(
        found
        for place in os.environ["PATH"].split(":")
        if (found := Path(place) / "redis-cli").exists()
    )
    (own / "redis-cli").write_text(f'#!/bin/sh\nexec {real} -p {port} "$@"\n')
    (own / "redis-cli").chmod(0o755)
    return own
