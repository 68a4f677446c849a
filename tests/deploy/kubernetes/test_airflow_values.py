"""The values for Airflow's official chart: its keys are the chart's, what they name is there, its secrets are ours."""

import base64
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.airflow import settings as airflow
from jobs.runtime import settings as jobs
from schemas.environment import PREFIX
from tests.deploy.kubernetes.rendered import KUBERNETES, ROOT, Rendered
from tests.deploy.kubernetes.test_manifests import CLOSED

_POD = """
    affinity annotations containerLifecycleHooks extraContainers extraInitContainers extraVolumeMounts extraVolumes
    nodeSelector podAnnotations priorityClassName resources securityContexts serviceAccount tolerations
    topologySpreadConstraints env labels command args
"""
_PART = f"{_POD} hostAliases replicas revisionHistoryLimit strategy waitForMigrations"
#: The keys that the chart's own values.yaml has, at the version that values.yaml here names: read there, part by part.
CHART = {
    "": """
        airflowHome airflowPodAnnotations airflowVersion allowPodLaunching apiSecretKeySecretName apiServer config
        containerLifecycleHooks createUserJob dagProcessor dags data databaseCleanup defaultAirflowRepository
        defaultAirflowTag enableBuiltInSecretEnvVars env executor extraConfigMaps extraEnv extraEnvFrom extraSecrets
        fernetKeySecretName flower fullnameOverride gid images ingress jwtSecretName kerberos labels limits logs
        migrateDatabaseJob multiNamespaceMode nameOverride networkPolicies nodeSelector pgbouncer podTemplate ports
        postgresql priorityClasses quotas rbac redis revisionHistoryLimit scheduler schedulerName secret
        securityContexts statsd tolerations topologySpreadConstraints triggerer uid useStandardNaming volumeMounts
        volumes webserver workers
    """,
    "securityContexts": "pod containers",
    "data": "metadataSecretName resultBackendSecretName brokerUrlSecretName metadataConnection brokerUrl",
    "workers": f"""
        {_POD} celery extraPorts hostAliases hpa keda kerberosInitContainer kerberosSidecar kubernetes livenessProbe
        logGroomerSidecar persistence replicas revisionHistoryLimit runtimeClassName safeToEvict strategy
        terminationGracePeriodSeconds updateStrategy useWorkerDedicatedServiceAccounts volumeClaimTemplates
        waitForMigrations
    """,
    "scheduler": f"""
        {_PART} enabled livenessProbe logGroomerSidecar podDisruptionBudget safeToEvict startupProbe
        terminationGracePeriodSeconds updateStrategy
    """,
    "dagProcessor": f"""
        {_PART} enabled livenessProbe logGroomerSidecar safeToEvict terminationGracePeriodSeconds
    """,
    "apiServer": f"""
        {_PART} allowPodLogReading apiServerConfig configMapAnnotations enabled hpa livenessProbe networkPolicy
        podDisruptionBudget readinessProbe service startupProbe
    """,
    "migrateDatabaseJob": f"""
        {_POD} applyCustomEnv enabled jobAnnotations restartPolicy ttlSecondsAfterFinished useHelmHooks
    """,
    "logs": "persistence emptyDirConfig",
    **dict.fromkeys(("createUserJob", "triggerer", "postgresql", "statsd"), "enabled"),
}
PROBE = "initialDelaySeconds timeoutSeconds failureThreshold periodSeconds command"
#: Parts that run, and what the chart calls them in Pods' labels.
PARTS = {
    "scheduler": "scheduler",
    "dagProcessor": "dag-processor",
    "apiServer": "api-server",
    "migrateDatabaseJob": "run-airflow-migrations",
}


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    """The values as Helm reads them."""
    found: dict[str, Any] = yaml.safe_load((KUBERNETES / "airflow/values.yaml").read_text())
    return found


def test_keys_are_the_chart_s(values: dict[str, Any]) -> None:
    """No key that the chart does not read: Helm would pass over a misspelt one in silence."""
    assert set(values) <= set(CHART[""].split())
    for section, known in CHART.items():
        if section:
            assert set(values[section]) <= set(known.split()), section
    for part in ("scheduler", "dagProcessor"):
        for probe in ("livenessProbe", "startupProbe"):
            assert set(values[part].get(probe, {})) <= set(PROBE.split())


def test_parts_run_closed_and_limited(values: dict[str, Any]) -> None:
    """The rights of all others here; limits for each part and each task; one image, at this version."""
    assert values["executor"] == "KubernetesExecutor"
    assert values["securityContexts"]["containers"] == CLOSED
    pod = values["securityContexts"]["pod"]
    assert pod["runAsNonRoot"] is True
    assert {pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"], values["uid"], values["gid"]} == {
        10001
    }
    for part in (*PARTS, "workers"):
        assert set(values[part]["resources"]["limits"]) == {"cpu", "memory"}, part
    compose = (ROOT / "deploy/containers/compose.yaml").read_text()
    assert f"AIRFLOW_IMAGE:-{values['defaultAirflowRepository']}}}" in compose
    assert f"VERSION:-{values['defaultAirflowTag']}}}" in compose
    lock = (ROOT / "deploy/requirements/dags-kubernetes.txt").read_text()
    assert f"apache-airflow=={values['airflowVersion']} " in lock
    assert "apache-airflow-providers-cncf-kubernetes==" in lock
    assert "ARG AIRFLOW_LOCK" in (ROOT / "deploy/containers/Dockerfile").read_text()


def test_what_parts_run_is_in_the_image(values: dict[str, Any]) -> None:
    """Each part gets round the image's entrypoint; files that are named are copied there by the Dockerfile."""
    for part in (*PARTS, "workers"):
        assert values[part]["command"], part
        # The chart's own waits and checks call the official image's entrypoint, and have no command to set.
        if part not in {"workers", "migrateDatabaseJob"}:
            assert values[part]["waitForMigrations"] == {"enabled": False}
    for part in ("scheduler", "dagProcessor"):
        assert values[part]["livenessProbe"]["command"][0] == "airflow"
    core = values["config"]["core"]
    named = [core["dags_folder"], core["plugins_folder"], values["migrateDatabaseJob"]["args"][-1]]
    for path in named:
        assert (ROOT / Path(path).relative_to("/opt/nightshelf-source")).exists(), path
    # A file that Airflow opens for writing lies in a folder that can be written.
    mounts = {one["mountPath"]: one for one in values["apiServer"]["extraVolumeMounts"]}
    assert "readOnly" not in mounts[str(Path(core["simple_auth_manager_passwords_file"]).parent)]


def test_a_task_has_what_the_job_by_hand_has(
    values: dict[str, Any], rendered: dict[str, Rendered]
) -> None:
    """The same settings, files and volume, so that what works by hand works by Airflow; every variable is read."""
    [(_, job, pod)] = rendered["by-hand"].containers()
    task = values["workers"]
    given = {one["name"]: one["value"] for one in job["env"] if one["name"] != "NIGHTSHELF_RUN_BY"}
    assert {one["name"]: one["value"] for one in task["env"]} == given
    assert yaml.safe_load(values["extraEnvFrom"]) == job["envFrom"]
    known = {PREFIX + field.name.upper() for field in fields(jobs.Settings)}
    assert {name.removesuffix("_FILE") for name in given} <= known
    own = [one for one in job["volumeMounts"] if one["name"] != "tmp"]
    assert task["extraVolumeMounts"] == own
    assert task["extraVolumes"] == [one for one in pod["volumes"] if one["name"] != "tmp"]
    assert task["resources"] == job["resources"]


def test_policies_name_the_chart_s_parts(rendered: dict[str, Rendered]) -> None:
    """Who may ask the database are the parts that have a connection to it, by the chart's labels."""
    policy = rendered["production"].named("NetworkPolicy", "airflow-database")
    [expression] = policy["spec"]["podSelector"]["matchExpressions"]
    assert set(expression["values"]) == set(PARTS.values())


def test_secrets_of_airflow_are_those_of_one_host(
    values: dict[str, Any], secrets: dict[str, dict[str, str]], secrets_folder: Path, tmp_path: Path
) -> None:
    """Every Secret that is named is made, and holds what the stack on one host derives from the same files."""
    named = [
        values["fernetKeySecretName"], values["apiSecretKeySecretName"], values["jwtSecretName"],
        values["data"]["metadataSecretName"], "airflow-passwords", "redis-loader", "redis-ca",
    ]  # fmt: skip
    assert set(named) <= set(secrets)
    secret, password = (
        (secrets_folder / f"airflow_{name}").read_text().strip() for name in ("secret", "password")
    )
    settings = airflow.AirflowSettings(
        airflow_folder=tmp_path, airflow_secret=secret, airflow_password=password
    )
    told = airflow.process_environment(settings, {}, {})
    for name, key, variable in (
        (named[0], "fernet-key", "AIRFLOW__CORE__FERNET_KEY"),
        (named[1], "api-secret-key", "AIRFLOW__API__SECRET_KEY"),
        (named[2], "jwt-secret", "AIRFLOW__API_AUTH__JWT_SECRET"),
    ):
        assert _plain(secrets[name][key]) == told[variable], variable
    database = (secrets_folder / "postgres_password").read_text().strip()
    assert _plain(secrets[named[3]]["connection"]) == (
        f"postgresql+psycopg2://airflow:{database}@postgres.test/airflow"
    )
    assert json.loads(_plain(secrets["airflow-passwords"]["passwords.json"])) == {"admin": password}


def _plain(text: str) -> str:
    return base64.b64decode(text).decode()
