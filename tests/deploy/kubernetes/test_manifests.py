"""The manifests of deploy/kubernetes hold to Kubernetes' schemas, are closed, and refer to what is there."""

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from serving import server
from tests.deploy.kubernetes.rendered import KUBERNETES, OVERLAYS, RENDERED, ROOT, Rendered, selects

#: The oldest version that is still maintained: what it knows, later ones know.
KUBERNETES_VERSION = "1.35"
#: What pod-security.kubernetes.io's "restricted" asks of a container, and a root that cannot be written.
CLOSED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.mark.parametrize("name", RENDERED)
def test_objects_hold_to_the_schemas(rendered: dict[str, Rendered], name: str) -> None:
    """Every object is of a kind that Kubernetes knows, without a key or value that its strict schema does not have."""
    assert rendered[name].objects
    for found in rendered[name].objects:
        kubernetes_validate.validate(found, KUBERNETES_VERSION, strict=True)


def test_a_misspelt_key_is_refused(rendered: dict[str, Rendered]) -> None:
    """The schemas are strict: a key that means nothing is an error."""
    deployment = rendered["base"].named("Deployment", "edge")
    wrong = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(wrong, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("name", RENDERED)
def test_every_container_is_closed(rendered: dict[str, Rendered], name: str) -> None:
    """No root, no capability, no writable root, no token, limits for memory and processor; a user of our images."""
    for owner, container, pod in rendered[name].containers():
        assert container["securityContext"] == CLOSED, owner
        resources = container["resources"]
        assert set(resources["limits"]) == set(resources["requests"]) == {"cpu", "memory"}, owner
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == (999 if container["image"].startswith("redis") else 10001)
        assert context["fsGroup"] == context["runAsUser"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        # Variables that Kubernetes would make of Services' names could be taken for settings.
        assert pod["enableServiceLinks"] is False
        assert not any(pod.get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC"))
        assert not any("hostPath" in volume for volume in pod["volumes"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_keeps_running_is_probed_and_spread(rendered: dict[str, Rendered], name: str) -> None:
    """Three probes each, on ports that the container has; over nodes and zones; a budget for disruptions."""
    budgets = rendered[name].kind("PodDisruptionBudget")
    for found in rendered[name].kind("Deployment", "StatefulSet"):
        template = found["spec"]["template"]
        [container] = template["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert "exec" in container[probe] or container[probe]["httpGet"]["port"] in ports
        assert [spread["topologyKey"] for spread in template["spec"]["topologySpreadConstraints"]] == [
            "kubernetes.io/hostname", "topology.kubernetes.io/zone",
        ]  # fmt: skip
        labels = template["metadata"]["labels"]
        [budget] = [one for one in budgets if selects(one["spec"]["selector"], labels)]
        assert budget["spec"]["maxUnavailable"] == 1
    assert len(budgets) == len(rendered[name].kind("Deployment", "StatefulSet"))
    edge = rendered[name].named("Deployment", "edge")["spec"]["template"]["spec"]["containers"][0]
    assert edge["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert edge["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize("name", OVERLAYS)
def test_autoscalers_have_their_deployments(rendered: dict[str, Rendered], name: str) -> None:
    """Each scales one that is there and that says no number itself, which `apply` would set back."""
    scaled = set()
    for scaler in rendered[name].kind("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        deployment = rendered[name].named(target["kind"], target["name"])
        assert "replicas" not in deployment["spec"]
        assert scaler["spec"]["maxReplicas"] > scaler["spec"]["minReplicas"] >= 2
        assert "cpu" in [
            metric.get("resource", {}).get("name") for metric in scaler["spec"]["metrics"]
        ]
        scaled.add(target["name"])
    assert scaled == {"edge", "nginx"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_services_and_owners_select_pods(rendered: dict[str, Rendered], name: str) -> None:
    """A Deployment's selector matches its own pods; a Service's some pods, on ports that they have."""
    for found in rendered[name].kind("Deployment", "StatefulSet"):
        assert selects(found["spec"]["selector"], found["spec"]["template"]["metadata"]["labels"])
    for service in rendered[name].kind("Service"):
        # What a StatefulSet gives each of its pods.
        wanted = dict(service["spec"]["selector"])
        number = wanted.pop("statefulset.kubernetes.io/pod-name", "redis-1").removeprefix("redis-")
        assert 1 <= int(number) <= 6
        pods = [
            template["spec"]
            for _, template in rendered[name].templates()
            if selects({"matchLabels": wanted}, template["metadata"]["labels"])
        ]
        assert len(pods) == 1, service["metadata"]["name"]
        ports = {port["name"] for port in pods[0]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


@pytest.mark.parametrize("name", [*OVERLAYS, "by-hand"])
def test_what_is_mounted_is_there(
    rendered: dict[str, Rendered], secrets: dict[str, dict[str, str]], name: str
) -> None:
    """Each Secret and key is made by secrets.sh, each ConfigMap and claim by an overlay; each mount has its volume."""
    made = [*rendered[name].objects, *rendered["small"].objects]
    claims = {one["metadata"]["name"] for one in made if one["kind"] == "PersistentVolumeClaim"}
    maps = {one["metadata"]["name"] for one in made if one["kind"] == "ConfigMap"}
    for owner, container, pod in rendered[name].containers():
        names = {volume["name"] for volume in pod["volumes"]}
        if owner == "redis":
            names.add("data")
        assert {mount["name"] for mount in container["volumeMounts"]} == names, owner
        for volume in pod["volumes"]:
            for secret, keys in _secrets(volume):
                assert set(keys) <= set(secrets[secret]), f"{owner}: {secret}"
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
        for source in container.get("envFrom", []):
            assert source["configMapRef"]["name"] in maps


def _secrets(volume: dict[str, Any]) -> list[tuple[str, list[str]]]:
    found = []
    if "secret" in volume:
        found.append((volume["secret"]["secretName"], volume["secret"].get("items", [])))
    found += [
        (source["secret"]["name"], source["secret"]["items"])
        for source in volume.get("projected", {}).get("sources", [])
    ]
    return [(name, [item["key"] for item in items]) for name, items in found]


def test_no_secret_is_in_the_tree(rendered: dict[str, Rendered]) -> None:
    """Secrets are referred to; none is an object here, and nothing comes by a variable of its own."""
    for name in RENDERED:
        assert not rendered[name].kind("Secret")
        for _, container, _ in rendered[name].containers():
            assert not any(
                "secretKeyRef" in one.get("valueFrom", {}) for one in container.get("env", [])
            )


def test_secrets_are_refused_where_they_are_examples(tmp_path: Path) -> None:
    """An empty folder makes no Secret: the error of deploy/secrets.sh, and nothing on standard output."""
    refused = subprocess.run(
        [str(KUBERNETES / "secrets.sh"), "print"],
        env={"PATH": "/usr/bin:/bin", "NIGHTSHELF_SECRETS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "do: deploy/secrets.sh make" in refused.stderr


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_edge_ends_as_it_drains(rendered: dict[str, Rendered], name: str) -> None:
    """A pod has time for its drain and for requests in hand; it drains for longer than CoreDNS keeps old lists."""
    template = rendered[name].named("Deployment", "edge")["spec"]["template"]["spec"]
    environment = rendered[name].environment(template["containers"][0])
    drain_s = float(environment["NIGHTSHELF_DRAIN_S"])
    assert drain_s > 30
    assert template["terminationGracePeriodSeconds"] >= drain_s + server._FINISH_S + 5
    assert rendered[name].named("Deployment", "edge")["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
    }
    # NGINX sees each replica and balances itself.
    assert rendered[name].named("Service", "edge")["spec"]["clusterIP"] == "None"


def test_images_are_those_of_compose(rendered: dict[str, Rendered]) -> None:
    """Names and tags are the defaults of compose.yaml: one version of everything, whatever it is started by."""
    compose = (ROOT / "deploy/containers/compose.yaml").read_text()
    version = yaml.safe_load(compose)["services"]["edge"]["image"].rpartition(":-")[2].rstrip("}")
    images = {
        container["image"]
        for name in RENDERED
        for _, container, _ in rendered[name].containers()
    }  # fmt: skip
    ours = {image for image in images if image.startswith("nightshelf/")}
    assert ours == {f"nightshelf/{name}:{version}" for name in ("serving", "proxy", "jobs")}
    [redis] = images - ours
    assert f"REDIS_IMAGE:-{redis}}}" in compose


def test_scripts_of_redis_are_the_stack_s_own(rendered: dict[str, Rendered]) -> None:
    """The ConfigMap holds the files of deploy/redis as they are."""
    maps = rendered["small"].kind("ConfigMap")
    [files] = [one for one in maps if one["metadata"]["name"].startswith("redis-files")]
    assert set(files["data"]) == {"form.sh", "healthy.sh", "node.sh", "redis.conf", "users.sh"}
    for name, text in files["data"].items():
        assert text == (ROOT / "deploy/redis" / name).read_text()
