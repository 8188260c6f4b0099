"""deploy/kubernetes: each overlay is accepted by the API server, requests no privilege, and refers to existing
objects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.kubernetes.cluster import ROOT, Cluster
from tests.support.kubernetes.rendered import for_this_cluster, pod_specs, rendered

FOLDER = ROOT / "deploy/kubernetes"
REFERENCE = ROOT / "docs/reference/kubernetes.md"
OVERLAYS = [FOLDER / "base", *sorted((FOLDER / "overlays").iterdir())]


@pytest.fixture(scope="module")
def namespaces(kubernetes: Cluster) -> Iterator[tuple[str, ...]]:
    """The namespaces that the overlays name, which must exist for a dry run."""
    names = ("greenroom", "greenroom-sessions")
    namespace = yaml.safe_load((FOLDER / "parts/namespace/namespace.yaml").read_text())
    for name in names:
        namespace["metadata"]["name"] = name
        kubernetes.apply(namespace, namespace="default")
    yield names
    kubernetes.kubectl("delete", "namespace", *names)


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_the_api_server_accepts_an_overlay(kubernetes: Cluster, namespaces: tuple[str, ...], overlay: Path) -> None:
    said = kubernetes.kubectl("apply", "--dry-run=server", "--filename=-", stdin=for_this_cluster(rendered(overlay)))
    deployments = [one["metadata"]["name"] for one in rendered(overlay) if one["kind"] == "Deployment"]
    assert deployments
    for name in deployments:
        assert f"deployment.apps/{name} created (server dry run)" in said


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_no_pod_asks_for_a_privilege(kubernetes: Cluster, overlay: Path) -> None:
    """The requirements of the profile `restricted` of Kubernetes, and a read-only root."""
    for name, spec in pod_specs(rendered(overlay)).items():
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["runAsUser"] > 0, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert {next(iter(v.keys() - {"name"})) for v in spec["volumes"]} <= {
            "secret",
            "emptyDir",
            "persistentVolumeClaim",
            "configMap",
        }, name
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (name, container["name"])
            assert container["resources"]["limits"].keys() == {"memory"}, (name, container["name"])


def test_only_the_agent_has_an_account_in_the_cluster(kubernetes: Cluster) -> None:
    specs = pod_specs(rendered(FOLDER / "overlays/all-in-one"))
    assert {name for name, spec in specs.items() if spec.get("automountServiceAccountToken") is not False} == {
        "kasm-agent"
    }
    assert specs["kasm-agent"]["serviceAccountName"] == "kasm-agent"


def test_a_separate_agent_has_no_right_where_their_secrets_are(kubernetes: Cluster) -> None:
    separate = [one for one in rendered(FOLDER / "overlays/sessions-separate") if one["kind"] != "Namespace"]
    assert {one["metadata"]["namespace"] for one in separate} == {"greenroom-sessions"}
    (binding,) = (one for one in separate if one["kind"] == "RoleBinding")
    assert binding["roleRef"]["kind"] == "Role"
    assert {one.get("namespace", "greenroom-sessions") for one in binding["subjects"]} == {"greenroom-sessions"}
    assert pod_specs(separate).keys() == {"kasm-agent"}
    roles = rendered(FOLDER / "overlays/docker-hosts")
    assert not {"Role", "RoleBinding", "ServiceAccount"} & {one["kind"] for one in roles}


def test_the_agent_may_do_what_the_reference_says_and_no_more(kubernetes: Cluster) -> None:
    (role,) = (one for one in rendered(FOLDER / "base") if one["kind"] == "Role")
    allowed = {
        ".".join(filter(None, (rule["resources"][0], rule["apiGroups"][0]))): set(rule["verbs"])
        for rule in role["rules"]
    }
    written = dict[str, set[str]]()
    for resource, verbs in re.findall(r"^\| `([a-z./0-9]+)` \| ([a-z, ]+) \|", REFERENCE.read_text(), re.MULTILINE):
        written.setdefault(resource, set()).update(verbs.split(", "))
    assert allowed == written


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_a_budget_lets_one_pod_of_each_deployment_be_away(kubernetes: Cluster, overlay: Path) -> None:
    objects = rendered(overlay)
    deployments = [one["spec"]["selector"] for one in objects if one["kind"] == "Deployment"]
    budgets = [one["spec"] for one in objects if one["kind"] == "PodDisruptionBudget"]
    assert sorted(map(str, budgets)) == sorted(str({"maxUnavailable": 1, "selector": one}) for one in deployments)


def test_each_service_budget_and_policy_selects_pods_that_there_are(kubernetes: Cluster) -> None:
    objects = rendered(FOLDER / "overlays/all-in-one")
    named, judged = dict(_labels(objects)), 0
    for one in objects:
        selector = one["spec"].get("selector") or one["spec"].get("podSelector") if "spec" in one else None
        if selector is None or one["kind"] in {"Deployment", "StatefulSet"}:
            continue
        wanted = selector.get("matchLabels", selector if one["kind"] == "Service" else {})
        assert any(wanted.items() <= labels.items() for labels in named.values()), one["metadata"]["name"]
        judged += 1
    assert judged


def _labels(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, str]]]:
    for one in objects:
        template = one.get("spec", {}).get("template")
        if template:
            yield one["metadata"]["name"], template["metadata"]["labels"]
