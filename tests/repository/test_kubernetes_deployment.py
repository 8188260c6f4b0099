"""deploy/kubernetes and the page of the runtime without a cluster: what manifests and page say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from greenroom.backup.overlay import JOB, SETUP_SECRET, tools_pod
from greenroom.core.web_filter import PRIVATE_IPV4
from greenroom.kit.config import GatewayCertificate
from greenroom.runtimes.kubernetes.access import EVENT_PERMISSIONS, FILTER_PERMISSIONS, REQUIRED_PERMISSIONS
from greenroom.up.deployment import CUSTOM_CERTIFICATE, caller_deployment, kubernetes_secrets

FOLDER: Final = Path(__file__).parents[2] / "deploy/kubernetes"
OBJECTS: Final[list[dict[str, Any]]] = [
    one
    for file in sorted((FOLDER / "parts").glob("*/*.yaml"))
    if file.name != "kustomization.yaml"
    for one in yaml.safe_load_all(file.read_text())
]


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in OBJECTS if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def test_pods_of_a_role_prefer_nodes_that_have_none_of_it():
    deployments = [one for one in OBJECTS if one["kind"] == "Deployment"]
    assert {one["metadata"]["name"] for one in deployments} >= {"kasm-api", "kasm-manager", "kasm-proxy", "kasm-agent"}
    for one in deployments:
        preferred = one["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
        (rule,) = preferred["preferredDuringSchedulingIgnoredDuringExecution"]
        assert rule["podAffinityTerm"] == {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": one["spec"]["selector"],
        }, one["metadata"]["name"]


def test_sessions_reach_no_private_network_as_on_docker_hosts():
    (rule,) = named("NetworkPolicy", "the-web")["spec"]["egress"]
    assert rule == {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": list(PRIVATE_IPV4)}}]}


def test_a_certificate_of_ones_own_is_shown_with_the_line_of_the_page():
    containers = named("Deployment", "kasm-proxy")["spec"]["template"]["spec"]["containers"]
    sources = {one["name"]: one.get("valueFrom") for one in containers[0]["env"]}
    asked = {"configMapKeyRef": {"name": "greenroom", "key": "named_certificate", "optional": True}}
    assert sources["GREENROOM_NAMED_CERTIFICATE"] == asked
    page = (FOLDER.parents[1] / "docs/howto/kubernetes.md").read_text()
    (line,) = re.findall(r"^- ('named_certificate=.*')$", page, re.MULTILINE)
    given = GatewayCertificate.model_validate_json(yaml.safe_load(line).partition("=")[2])
    assert (given.certificate.name, given.key.name) == CUSTOM_CERTIFICATE


def test_the_pod_of_backups_has_the_key_with_which_it_records_them(tmp_path: Path):
    spec = tools_pod(named("Job", JOB) | {"metadata": {"namespace": "greenroom"}})["spec"]
    environment = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
    assert environment["GREENROOM_SECRET_KEY_FILE"] == "/work/installation/installation.key"
    assert "install -m 600 /run/given/* /work/installation/" in spec["initContainers"][0]["command"][-1]
    assert {"name": "given", "secret": {"secretName": SETUP_SECRET, "defaultMode": 0o440}} in spec["volumes"]
    secrets = kubernetes_secrets(caller_deployment(tmp_path / "keys"), "greenroom", ["localhost"], datetime.now(UTC))
    (setup,) = (one for one in secrets["items"] if one["metadata"]["name"] == SETUP_SECRET)
    assert "installation.key" in setup["data"]


def test_the_page_names_each_verb_of_one_agent():
    page = (FOLDER.parents[1] / "docs/reference/kubernetes.md").read_text()
    alone = page.partition("## Several processes of the Agent")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", alone, re.MULTILINE)
    assert {(name, tuple(verbs.split(", "))) for name, verbs, _ in rows} == {
        (need.full_name, need.verbs) for need in (*REQUIRED_PERMISSIONS, *EVENT_PERMISSIONS, *FILTER_PERMISSIONS)
    }
