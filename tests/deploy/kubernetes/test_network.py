"""Who may talk to whom in Kubernetes: every pair of pods is tried against the policies."""

from typing import Any

import pytest

from tests.deploy.kubernetes.rendered import OVERLAYS, Labels, Rendered, selects

#: Pods that are not made here. Airflow's labels are those of its official chart's templates.
OUTSIDE: dict[str, tuple[str, Labels]] = {
    "airflow task": ("nightshelf", {"tier": "airflow", "component": "worker"}),
    "airflow scheduler": ("nightshelf", {"tier": "airflow", "component": "scheduler"}),
    "stranger": ("nightshelf", {"app.kubernetes.io/name": "stranger"}),
    "prometheus": ("monitoring", {"app.kubernetes.io/name": "prometheus"}),
    "elsewhere": ("default", {"app.kubernetes.io/name": "prometheus"}),
    "dns": ("kube-system", {"k8s-app": "kube-dns"}),
    "jobs": ("nightshelf", {"app.kubernetes.io/name": "jobs"}),
}
PORTS = (53, 443, 5432, 6379, 6443, 8080, 8081, 8443, 9109, 16379)
AIRFLOW = {
    (a, b, port)
    for a in ("airflow task", "airflow scheduler")
    for b in ("airflow task", "airflow scheduler")
    for port in PORTS
}
#: Everything that is allowed, in any overlay, beside Airflow's parts among themselves and names.
ALLOWED = {
    ("nginx", "edge", 8081),
    ("prometheus", "edge", 8081),
    ("prometheus", "nginx", 9109),
    *(
        (sender, "nginx", port)
        for sender in ("prometheus", "elsewhere", "dns")
        for port in (8080, 8443)
    ),
}
#: Airflow's database and Kubernetes' API are outside, where no label says which they are.
OUTWARD = {
    ("airflow scheduler", receiver, port)
    for receiver in ("prometheus", "elsewhere", "dns")
    for port in (443, 5432, 6443)
}
INSIDE = {
    *(
        (sender, "redis", 6379)
        for sender in ("edge", "jobs", "redis", "redis-form", "airflow task")
    ),
    ("redis", "redis", 16379),
}


@pytest.mark.parametrize("name", OVERLAYS)
def test_only_what_is_listed_gets_through(rendered: dict[str, Rendered], name: str) -> None:
    """Of all pairs of pods and ports those that both ends' policies let through are the ones listed above, no more."""
    pods = _pods(rendered[name])
    policies = rendered[name].kind("NetworkPolicy")
    through = {
        (sender, receiver, port)
        for sender in pods
        for receiver in pods
        for port in PORTS
        if _leaves(policies, pods[sender], pods[receiver], port)
        and _enters(policies, pods[sender], pods[receiver], port)
    }
    names = {(sender, "dns", 53) for sender in pods}
    # What is in other namespaces is not held back by these policies: among themselves they are free.
    free = {one for one, (space, _) in pods.items() if space != "nightshelf"}
    through -= {(a, b, port) for a in free for b in free for port in PORTS}
    expected = ALLOWED | AIRFLOW | OUTWARD | names | (INSIDE if name == "small" else set())
    assert {one for one in through if one not in expected} == set()
    assert {one for one in expected if one not in through and one[0] not in free} == set()


def test_a_managed_redis_is_reached_by_three(rendered: dict[str, Rendered]) -> None:
    """Out of the cluster, to Redis' network and port: the edge, jobs by hand, Airflow's tasks; nobody else."""
    policies = rendered["production"].kind("NetworkPolicy")
    reaching = set()
    for name, (space, labels) in _pods(rendered["production"]).items():
        for policy in policies:
            if space == "nightshelf" and selects(policy["spec"]["podSelector"], labels):
                for rule in policy["spec"].get("egress", []):
                    if any("ipBlock" in peer for peer in rule.get("to", [])):
                        assert rule["ports"] == [{"port": 6379}]
                        reaching.add(name)
    assert reaching == {"edge", "jobs", "airflow task"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_each_selector_matches_a_pod(rendered: dict[str, Rendered], name: str) -> None:
    """No policy selects pods, or lets in a peer, that nobody runs: a misspelt label would open or close nothing."""
    pods = [labels for _, labels in _pods(rendered[name]).values()]
    for policy in rendered[name].kind("NetworkPolicy"):
        spec = policy["spec"]
        peers = [
            peer
            for rule in [*spec.get("ingress", []), *spec.get("egress", [])]
            for peer in [*rule.get("from", []), *rule.get("to", [])]
        ]
        selectors = [
            spec["podSelector"],
            *(peer["podSelector"] for peer in peers if "podSelector" in peer),
        ]
        for selector in selectors:
            assert any(selects(selector, labels) for labels in pods), policy["metadata"]["name"]


def _pods(rendered: Rendered) -> dict[str, tuple[str, Labels]]:
    own = {
        name: ("nightshelf", template["metadata"]["labels"])
        for name, template in rendered.templates()
    }
    return {**own, **OUTSIDE}


def _leaves(policies: list[dict[str, Any]], sender: Any, receiver: Any, port: int) -> bool:
    return _allowed(policies, "Egress", sender, receiver, port)


def _enters(policies: list[dict[str, Any]], sender: Any, receiver: Any, port: int) -> bool:
    return _allowed(policies, "Ingress", receiver, sender, port)


def _allowed(policies: list[dict[str, Any]], way: str, here: Any, there: Any, port: int) -> bool:
    """Say whether the policies that select `here` let this connection through; without any, everything goes."""
    space, labels = here
    chosen = [
        policy["spec"]
        for policy in policies
        if space == "nightshelf"
        and way in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], labels)
    ]
    peers = "from" if way == "Ingress" else "to"
    return not chosen or any(
        (peers not in rule or any(_is_peer(peer, there) for peer in rule[peers]))
        and ("ports" not in rule or port in {one["port"] for one in rule["ports"]})
        for spec in chosen
        for rule in spec.get(way.lower(), [])
    )


def _is_peer(peer: dict[str, Any], there: tuple[str, Labels]) -> bool:
    space, labels = there
    if "ipBlock" in peer:
        return False  # another machine's address
    spaces = peer.get(
        "namespaceSelector", {"matchLabels": {"kubernetes.io/metadata.name": "nightshelf"}}
    )
    return selects(spaces, {"kubernetes.io/metadata.name": space}) and selects(
        peer["podSelector"], labels
    )
