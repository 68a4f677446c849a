"""The files of the deployed stack, as far as they can be judged without starting it."""

import importlib.resources
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
WORKFLOWS = ROOT / ".github" / "workflows"
#: What may publish a port; all others are reached through these or not at all.
PUBLISHES = {
    "nginx": None,
    "waf": None,
    **dict.fromkeys(
        ("airflow-api", "prometheus", "alertmanager", "grafana", "jaeger"), "127.0.0.1:"
    ),
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of compose.yaml by name."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "containers/compose.yaml").read_text())[
        "services"
    ]
    assert found
    return found


def test_every_container_is_closed(services: dict[str, Any]) -> None:
    """A root that cannot be written, no capability, no way to more rights, limits and a restart policy."""
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["restart"] in {"no", "unless-stopped"}, name
        assert not service.get("privileged"), name


def test_only_nginx_and_pages_on_loopback_publish_ports(services: dict[str, Any]) -> None:
    """What is published is listed here; pages for administrators are on loopback."""
    publishing = {name for name, service in services.items() if service.get("ports")}
    assert publishing == set(PUBLISHES)
    for name, beginning in PUBLISHES.items():
        for port in services[name]["ports"]:
            assert beginning is None or port.startswith(beginning)


def test_redis_and_postgres_are_reached_by_those_who_need_them(services: dict[str, Any]) -> None:
    """Redis is in the data network alone, Postgres in the admin network alone, NGINX in neither."""
    for name, service in services.items():
        networks = set(service.get("networks", []))
        if re.fullmatch(r"redis-(\d|form)", name):
            assert networks == {"data"}, name
    assert services["postgres"]["networks"] == ["admin"]
    assert services["nginx"]["networks"] == ["edge"]
    assert set(services["edge"]["networks"]) == {"edge", "data"}


def test_no_secret_is_a_variable(services: dict[str, Any]) -> None:
    """Passwords come as names of files; nothing that is said to be secret stands in the environment."""
    for name, service in services.items():
        for variable in service.get("environment", {}):
            if any(word in variable for word in ("PASSWORD", "SECRET")):
                assert variable.endswith(("_FILE", "_SECRETS")), f"{name}: {variable}"


@pytest.fixture(scope="module")
def logging() -> dict[str, Any]:
    """The services of compose.logging.yaml by name."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "containers/compose.logging.yaml").read_text())
    return dict(found["services"])


def test_every_service_sends_its_lines(services: dict[str, Any], logging: dict[str, Any]) -> None:
    """With the profile `logging` none is left out, none waits for Vector; what keeps logs is closed like the rest."""
    assert set(logging) == {*services, "vector", "loki"}
    for name in services:
        driver = logging[name]["logging"]
        assert driver["driver"] == "fluentd", name
        assert driver["options"]["fluentd-async"] == "true", name
        assert driver["options"]["labels"] == "com.docker.compose.service", name
    for name in ("vector", "loki"):
        kept = logging[name]
        assert (kept["read_only"], kept["cap_drop"]) == (True, ["ALL"])
        assert kept["networks"] == ["admin"]
        assert not str(kept["user"]).startswith("0")
    assert logging["vector"]["ports"] == ["127.0.0.1:${NIGHTSHELF_LOG_PORT:-24224}:24224"]
    assert logging["loki"]["ports"] == []


def test_vector_and_loki_are_told_the_same_places(logging: dict[str, Any]) -> None:
    """Docker sends to where Vector listens, Vector to where Loki listens; labels are few."""
    vector = yaml.safe_load((DEPLOY / "containers/logging/vector.yaml").read_text())
    loki = yaml.safe_load((DEPLOY / "containers/logging/loki.yaml").read_text())
    assert vector["sources"]["docker"]["address"] == "0.0.0.0:24224"
    (sink,) = vector["sinks"].values()
    assert sink["endpoint"] == f"http://loki:{loki['server']['http_listen_port']}"
    assert set(sink["labels"]) == {"service", "stream"}
    assert all(step in vector["transforms"] for step in sink["inputs"])
    assert loki["common"]["path_prefix"] == logging["loki"]["volumes"][1].split(":")[1]
    source = (ROOT / "monitoring/grafana/provisioning/datasources/loki.yaml").read_text()
    assert yaml.safe_load(source)["datasources"][0]["url"] == "${LOKI_URL}"


def test_the_stacks_targets_are_its_services(services: dict[str, Any]) -> None:
    """Prometheus asks by the names that compose gives; every job that reads targets has some."""
    jobs = yaml.safe_load((ROOT / "monitoring/prometheus.yaml").read_text())["scrape_configs"]
    folder = DEPLOY / "monitoring/targets"
    # The edge's replicas are found by the name they share.
    assert {job["job_name"] for job in jobs} - {"edge"} == {file.stem for file in folder.iterdir()}
    for file in folder.iterdir():
        for group in yaml.safe_load(file.read_text()):
            asked = [*group["targets"], *group.get("labels", {}).values()]
            assert asked, file
            for address in asked:
                host = re.sub(r"^\w+://", "", address).partition(":")[0]
                assert host in services or (host, file.stem) == ("127.0.0.1", "prometheus")


@pytest.fixture
def monitoring_files(tmp_path: Path) -> Path:
    """What run.sh makes of monitoring/ and deploy/monitoring/, as they lie in the image."""
    image, run = tmp_path / "image", tmp_path / "run"
    shutil.copytree(ROOT / "monitoring", image)
    shutil.copytree(DEPLOY / "monitoring", image / "stack")
    run.mkdir()
    told = tmp_path / "told"
    environment = {
        **os.environ, "MONITORING": str(image), "MONITORING_RUN": str(run),
        "MONITORING_ALERTMANAGER": str(told), "NIGHTSHELF_REDIS_TLS": "true",
    }  # fmt: skip
    subprocess.run([str(DEPLOY / "monitoring/run.sh"), "files"], env=environment, check=True)
    return run


def test_prometheus_and_alertmanager_take_what_is_made_for_the_stack(
    monitoring_files: Path,
) -> None:
    """Promtool and amtool accept it; replicas are found by name, Redis is asked over TLS, and nobody is told."""
    for tool, part in (("promtool", "prometheus"), ("amtool", "alertmanager")):
        check = ["check", "config"] if tool == "promtool" else ["check-config"]
        subprocess.run(
            [tool, *check, str(monitoring_files / f"{part}.yaml")], check=True, capture_output=True
        )
    made = yaml.safe_load((monitoring_files / "prometheus.yaml").read_text())
    given = yaml.safe_load((ROOT / "monitoring/prometheus.yaml").read_text())
    (edge,) = (job for job in made["scrape_configs"] if job["job_name"] == "edge")
    assert edge.pop("dns_sd_configs")[0]["names"] == ["edge"]
    edge["file_sd_configs"] = [{"files": ["targets/edge.yaml"]}]
    assert made == given
    redis = yaml.safe_load((monitoring_files / "targets/redis.yaml").read_text())
    assert all(target.startswith("rediss://redis-") for target in redis[0]["targets"])
    told = yaml.safe_load((monitoring_files / "alertmanager.yaml").read_text())
    assert all(set(receiver) == {"name"} for receiver in told["receivers"])
    whole = yaml.safe_load((ROOT / "monitoring/alertmanager.yaml").read_text())
    assert (told["route"], told["inhibit_rules"]) == (whole["route"], whole["inhibit_rules"])


@pytest.fixture
def secrets_folder(tmp_path: Path) -> Path:
    """A folder with secrets of our own making."""
    _secrets(tmp_path, "make")
    return tmp_path


def _secrets(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(DEPLOY / "secrets.sh"), *arguments],
        env={**os.environ, "NIGHTSHELF_SECRETS": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_made_up_secrets_pass(secrets_folder: Path) -> None:
    """What `make` makes is accepted; made again, nothing changes."""
    before = {file.name: file.read_text() for file in secrets_folder.iterdir()}
    assert _secrets(secrets_folder, "make").returncode == 0
    assert {file.name: file.read_text() for file in secrets_folder.iterdir()} == before
    assert _secrets(secrets_folder, "check").returncode == 0
    assert secrets_folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "value", ["", "short", "change-me-change-me-change-me", "an-example-of-a-password"]
)
def test_an_empty_short_or_example_secret_is_refused(secrets_folder: Path, value: str) -> None:
    """The file is named, and what to do."""
    (secrets_folder / "postgres_password").write_text(value)
    refused = _secrets(secrets_folder, "check")
    assert refused.returncode == 1
    assert "postgres_password" in refused.stderr
    assert "do: deploy/secrets.sh make" in refused.stderr


def test_two_secrets_that_are_alike_are_refused(secrets_folder: Path) -> None:
    """One that leaks must not open another door."""
    same = (secrets_folder / "redis_edge_password").read_text()
    (secrets_folder / "redis_admin_password").write_text(same)
    refused = _secrets(secrets_folder, "check")
    assert refused.returncode == 1
    assert "redis_admin_password is the same as redis_edge_password" in refused.stderr


def test_a_secret_is_exchanged_in_three_steps(secrets_folder: Path) -> None:
    """Beside the old one, before it, without it; the file stays the same file, which containers have mounted."""
    file = secrets_folder / "redis_edge_password"
    old, inode = file.read_text().strip(), file.stat().st_ino
    _secrets(secrets_folder, "add", "redis_edge_password")
    first, new = file.read_text().split()
    assert first == old
    assert len(new) >= 24
    _secrets(secrets_folder, "swap", "redis_edge_password")
    assert file.read_text().split() == [new, old]
    _secrets(secrets_folder, "drop", "redis_edge_password")
    assert file.read_text().split() == [new]
    assert file.stat().st_ino == inode


def test_the_stack_does_not_start_without_secrets(tmp_path: Path) -> None:
    """`up` ends before it starts anything, and says what to do; without an address, too."""
    environment = {
        **os.environ,
        "NIGHTSHELF_SETTINGS": str(tmp_path / "none"),
        "NIGHTSHELF_SECRETS": str(tmp_path),
        "NIGHTSHELF_ACTIONS": str(tmp_path / "audit.jsonl"),
        "NIGHTSHELF_PUBLIC_URL": "https://localhost",
    }
    refused = _up(environment)
    assert refused.returncode == 1
    assert "do: deploy/secrets.sh make" in refused.stderr
    refused = _up({**environment, "NIGHTSHELF_PUBLIC_URL": ""})
    assert refused.returncode == 1
    assert "NIGHTSHELF_PUBLIC_URL" in refused.stderr


def test_two_ways_in_are_refused(secrets_folder: Path) -> None:
    """NGINX with and without the firewall want the same ports; what was tried is noted with its outcome."""
    noted = secrets_folder / "audit.jsonl"
    refused = _up(
        {
            **os.environ,
            "NIGHTSHELF_SETTINGS": str(secrets_folder / "none"),
            "NIGHTSHELF_SECRETS": str(secrets_folder),
            "NIGHTSHELF_PUBLIC_URL": "https://localhost",
            "NIGHTSHELF_ACTIONS": str(noted),
            "COMPOSE_PROFILES": "proxy,waf",
        }
    )
    assert refused.returncode == 1
    assert "COMPOSE_PROFILES names proxy and waf" in refused.stderr
    (entry,) = map(json.loads, noted.read_text().splitlines())
    assert (entry["kind"], entry["did"], entry["exit_code"]) == ("action", "up", 1)
    assert noted.stat().st_mode & 0o077 == 0


def _up(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(DEPLOY / "containers/stack.sh"), "up"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_scripts_and_images_are_free_of_what_linters_know() -> None:
    """Shellcheck for every script of deployment, hadolint for every Dockerfile."""
    scripts = [
        *DEPLOY.glob("*.sh"), *DEPLOY.glob("*/*.sh"), *(ROOT / "tests/deploy/images").glob("*.sh"),
    ]  # fmt: skip
    assert len(scripts) >= 8
    subprocess.run([_tool("shellcheck"), *map(str, scripts)], check=True)
    dockerfiles = [DEPLOY / "containers/Dockerfile", ROOT / "tests/deploy/images/Dockerfile"]
    subprocess.run([_tool("hadolint"), *map(str, dockerfiles)], check=True)


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def test_compose_and_workflows_hold_to_their_schemas() -> None:
    """The compose specification's schema and GitHub's, as check-jsonschema ships them; a misspelt key is found."""
    # Its own command takes 3 s of imports a call.
    shipped = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    for schema, file in (
        ("compose-spec", DEPLOY / "containers/compose.yaml"),
        ("compose-spec", DEPLOY / "containers/compose.logging.yaml"),
        ("github-workflows", WORKFLOWS / "checks.yml"),
    ):
        known = json.loads((shipped / f"{schema}.json").read_text())
        # Through JSON, as YAML 1.1 reads the key `on` as true.
        written = json.loads(
            json.dumps(yaml.safe_load(file.read_text())).replace('"true":', '"on":')
        )
        jsonschema.validate(written, known)
        with pytest.raises(jsonschema.ValidationError, match="misspelt"):
            jsonschema.validate({**written, "misspelt": {}}, known)


def test_the_workflow_runs_commands_that_are_there() -> None:
    """What the CI file runs are targets of the Makefile; it builds and scans every image, each week, too."""
    workflow = yaml.safe_load((WORKFLOWS / "checks.yml").read_text())
    # YAML 1.1 reads the key `on` as true.
    assert {"push", "pull_request", "schedule"} <= set(workflow[True])
    command, images = workflow["jobs"]["command"], workflow["jobs"]["images"]
    targets = command["strategy"]["matrix"]["target"]
    assert 'make "$TARGET"' in [step.get("run") for step in command["steps"]]
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(targets) <= set(known)
    assert {"test", "test-deploy", "audit"} <= set(targets)
    built = re.search(r"for target in ([a-z ]+);", (DEPLOY / "containers/stack.sh").read_text())
    assert built
    assert images["strategy"]["matrix"]["target"] == built[1].split()
    steps = {step.get("name"): step.get("run", "") for step in images["steps"]}
    assert steps["build"].startswith("docker build --file deploy/containers/Dockerfile")
    assert "--exit-code 1" in steps["scan"]


def test_the_workflow_may_do_little_and_is_pinned() -> None:
    """Reads only, ends in time, actions by commit; zizmor, which knows what goes wrong there, has nothing to say."""
    text = (WORKFLOWS / "checks.yml").read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 90, name
        assert "permissions" not in job, name
    used = re.findall(r"uses: (\S+)", text)
    assert len(used) >= 3
    for action in used:
        assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}", action), action
    subprocess.run(
        [_tool("zizmor"), "--offline", "--no-progress", "--quiet", "--persona", "pedantic", str(WORKFLOWS)],
        check=True,
    )  # fmt: skip


@pytest.mark.parametrize("part", ["airflow", "nginx"])
def test_an_image_holds_what_its_programs_import(part: str) -> None:
    """Programs of deploy/ run without our package: each module of ours that they import is copied beside them."""
    dockerfile = (DEPLOY / "containers/Dockerfile").read_text()
    copied = {
        word
        for line in re.findall(r"^COPY (schemas/.+)$", dockerfile, re.MULTILINE)
        for word in line.split()
    }
    waiting, seen = sorted((DEPLOY / part).glob("*.py")), set[str]()
    while waiting:
        text = waiting.pop().read_text("utf-8")
        for package, name in re.findall(
            r"^from schemas(?:\.(\w+))? import (\w+)", text, re.MULTILINE
        ):
            path = f"schemas/{package or name}.py"
            if path not in seen:
                seen.add(path)
                waiting.append(ROOT / path)
    assert seen
    assert seen <= copied
