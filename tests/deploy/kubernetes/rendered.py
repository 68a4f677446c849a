"""Rendered objects of Kubernetes, and questions about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
RENDERED = ("base", "small", "production", "by-hand")
OVERLAYS = ("small", "production")

Labels = dict[str, str]


@dataclass(frozen=True)
class Rendered:
    """The objects of one folder."""

    objects: list[dict[str, Any]]

    def kind(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the objects of these kinds."""
        return [found for found in self.objects if found["kind"] in kinds]

    def named(self, kind: str, name: str) -> dict[str, Any]:
        """Return one object."""
        return next(found for found in self.kind(kind) if found["metadata"]["name"] == name)

    def templates(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield name and pod template of everything that makes pods."""
        for found in self.kind("Deployment", "StatefulSet", "Job"):
            yield found["metadata"]["name"], found["spec"]["template"]

    def containers(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Yield name, container and the pod's spec; a rendering without any is an error."""
        assert list(self.templates()), "nothing was rendered"
        for name, template in self.templates():
            for container in template["spec"]["containers"]:
                yield name, container, template["spec"]

    def environment(self, container: dict[str, Any]) -> dict[str, str]:
        """Return the variables of a container; what only a running pod knows is named in angle brackets."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in container.get("env", []):
            origin = variable.get("valueFrom", {})
            if "configMapKeyRef" in origin:
                key = origin["configMapKeyRef"]
                found[variable["name"]] = self.named("ConfigMap", key["name"])["data"][key["key"]]
            elif "fieldRef" in origin:
                found[variable["name"]] = f"<{origin['fieldRef']['fieldPath']}>"
            else:
                found[variable["name"]] = variable["value"]
        return found


def selects(selector: dict[str, Any], labels: Labels) -> bool:
    """Say whether a label selector matches, by the rules of Kubernetes' documentation; an empty one matches all."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True
