"""The manifests of deploy/kubernetes as kubectl renders them, adapted to the older test cluster."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml
from tests.support.kubernetes.cluster import programs_folder


def rendered(overlay: Path) -> list[dict[str, Any]]:
    """The objects of a base or an overlay, rendered by Debian's kubectl."""
    argv = [programs_folder() / "bin/kubectl", "kustomize", overlay]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [one for one in yaml.safe_load_all(text) if one]


def for_this_cluster(objects: list[dict[str, Any]]) -> str:
    """The manifests for Kubernetes 1.20, where disruption budgets are `policy/v1beta1` with the same fields."""
    return yaml.safe_dump_all(
        {**one, "apiVersion": one["apiVersion"].replace("policy/v1", "policy/v1beta1")} for one in objects
    )


def pod_specs(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name of a Deployment, StatefulSet or Job → the specification of its Pods."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in objects if "template" in one.get("spec", {})
    }
